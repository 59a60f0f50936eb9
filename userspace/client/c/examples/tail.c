/* Prints every record of a running appliance, across overruns and restarts.
 *
 *     cc -std=c11 tail.c $(pkg-config --cflags --libs wirebook) -o tail
 *     ./tail /run/wirebook/wirebook.sock
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <wirebook.h>

struct reader {
    wirebook_session *session;
    wirebook_books *books;
    wirebook_records *records;
};

static void check(wirebook_result result)
{
    if (result != WIREBOOK_RESULT_OK) {
        fprintf(stderr, "%s\n", wirebook_last_error());
        exit(1);
    }
}

static void open_reader(struct reader *reader)
{
    check(wirebook_books_open(reader->session, &reader->books));
    check(wirebook_records_open(reader->session, &reader->records));
}

static void close_reader(struct reader *reader)
{
    wirebook_records_close(reader->records);
    wirebook_books_close(reader->books);
}

static void print_record(struct reader *reader, const wirebook_record_header *hd)
{
    wirebook_instrument found;
    wirebook_result known =
        wirebook_books_find_id(reader->books, hd->publisher_id, hd->instrument_id, &found);
    const char *symbol = known == WIREBOOK_RESULT_OK && found.symbol[0] ? found.symbol : "-";
    printf("%s %" PRIu32 " %" PRIu64 " ", symbol, hd->instrument_id, hd->ts_event);
    switch (hd->rtype) {
    case WIREBOOK_RTYPE_MBO: {
        const wirebook_mbo_msg *mbo = (const wirebook_mbo_msg *)hd;
        printf("mbo %c%c %" PRId64 " %" PRIu32 " order %" PRIu64 " sequence %" PRIu32 " flags %u\n",
               mbo->action, mbo->side, mbo->price, mbo->size, mbo->order_id, mbo->sequence,
               (unsigned)mbo->flags);
        break;
    }
    case WIREBOOK_RTYPE_MBP_1: {
        const wirebook_mbp1_msg *mbp = (const wirebook_mbp1_msg *)hd;
        const wirebook_bid_ask_pair *best = &mbp->levels[0];
        printf("mbp-1 %" PRIu32 " x %" PRId64 " / %" PRId64 " x %" PRIu32 "\n", best->bid_sz,
               best->bid_px, best->ask_px, best->ask_sz);
        break;
    }
    case WIREBOOK_RTYPE_STATUS: {
        const wirebook_status_msg *status = (const wirebook_status_msg *)hd;
        printf("status %u trading %c\n", (unsigned)status->action, status->is_trading);
        break;
    }
    case WIREBOOK_RTYPE_OHLCV_1S:
    case WIREBOOK_RTYPE_OHLCV_1M: {
        const wirebook_ohlcv_msg *bar = (const wirebook_ohlcv_msg *)hd;
        printf("ohlcv %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " volume %" PRIu64 "\n",
               bar->open, bar->high, bar->low, bar->close, bar->volume);
        break;
    }
    default:
        printf("rtype %u\n", (unsigned)hd->rtype);
    }
}

int main(int argc, char **argv)
{
    struct reader reader;
    check(wirebook_connect(argc > 1 ? argv[1] : "/run/wirebook/wirebook.sock", &reader.session));
    open_reader(&reader);
    fprintf(stderr, "attached to process %" PRIu32 "\n", wirebook_writer_pid(reader.session));
    for (;;) {
        wirebook_next next;
        wirebook_reattached reattached;
        switch (wirebook_records_next(reader.records, 100 * 1000 * 1000, &next)) {
        case WIREBOOK_KIND_RECORD:
            print_record(&reader, next.record);
            break;
        case WIREBOOK_KIND_OVERRUN:
            fprintf(stderr, "overrun: %" PRIu64 " slots of shard %" PRIu32 " were missed\n",
                    next.missed_slots, next.shard);
            break;
        case WIREBOOK_KIND_NOTHING:
            fflush(stdout);
            break;
        case WIREBOOK_KIND_WRITER_GONE:
            fflush(stdout);
            fprintf(stderr, "the appliance is gone; waiting for the next\n");
            check(wirebook_reconnect(reader.session, WIREBOOK_FOREVER_NS, &reattached));
            if (reattached == WIREBOOK_REATTACHED_NEXT_START) {
                close_reader(&reader);
                open_reader(&reader);
                check(wirebook_records_from_start(reader.records));
            }
            fprintf(stderr, "the appliance is back\n");
            break;
        case WIREBOOK_KIND_FAILED:
            fprintf(stderr, "%s\n", wirebook_last_error());
            return 1;
        }
    }
}
