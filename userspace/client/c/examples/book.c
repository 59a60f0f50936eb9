/* Follows one instrument's book: a line whenever it has changed, across overruns and restarts.
 *
 *     cc -std=c11 book.c $(pkg-config --cflags --libs wirebook) -o book
 *     ./book /run/wirebook/wirebook.sock AAPL
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <wirebook.h>

static const uint64_t PATIENCE_NS = UINT64_C(100000000);

static void check(wirebook_result result)
{
    if (result != WIREBOOK_RESULT_OK) {
        fprintf(stderr, "%s\n", wirebook_last_error());
        exit(1);
    }
}

static void print_levels(const char *side, const wirebook_level *levels, uint32_t count)
{
    printf(" %s", side);
    for (uint32_t n = 0; n < count; n++)
        printf(" %" PRId64 ":%" PRIu64 ":%" PRIu32, levels[n].price, levels[n].size,
               levels[n].orders);
}

static void print_book(const wirebook_book *book)
{
    static const char *const states[] = {"none", "warming", "live", "healing", "stale"};
    printf("%s %s %" PRIu64, book->instrument.symbol, states[book->state], book->sequence);
    print_levels("bids", book->bids, book->bids_count);
    print_levels("asks", book->asks, book->asks_count);
    putchar('\n');
    fflush(stdout);
}

/* Waits for the instrument; false where the appliance ends before. */
static int find(wirebook_books *books, wirebook_records *records, const char *symbol,
                wirebook_instrument *instrument)
{
    wirebook_next next;
    while (wirebook_books_find(books, symbol, 0, instrument) != WIREBOOK_RESULT_OK)
        if (wirebook_records_next(records, PATIENCE_NS, &next) == WIREBOOK_KIND_WRITER_GONE)
            return 0;
    return 1;
}

/* Shows the book until the appliance ends. */
static void follow(wirebook_books *books, wirebook_records *records, const char *symbol)
{
    wirebook_instrument instrument;
    wirebook_book book;
    wirebook_next next;
    uint64_t shown = UINT64_MAX;
    wirebook_kind kind;
    if (!find(books, records, symbol, &instrument))
        return;
    check(wirebook_records_only(records, books, &symbol, 1));
    do {
        /* A record says that the book moves; joined, the book holds all that they have said. */
        wirebook_result joined =
            wirebook_records_join(records, books, &instrument, PATIENCE_NS, &book);
        if (joined == WIREBOOK_RESULT_OK && book.cursor != shown) {
            shown = book.cursor;
            print_book(&book);
        }
        kind = wirebook_records_next(records, PATIENCE_NS, &next);
        if (kind == WIREBOOK_KIND_FAILED) {
            fprintf(stderr, "%s\n", wirebook_last_error());
            exit(1);
        }
    } while (kind != WIREBOOK_KIND_WRITER_GONE);
}

int main(int argc, char **argv)
{
    wirebook_session *session;
    if (argc != 3) {
        fprintf(stderr, "usage: %s SOCKET SYMBOL\n", argv[0]);
        return 2;
    }
    check(wirebook_connect(argv[1], &session));
    for (;;) {
        wirebook_books *books;
        wirebook_records *records;
        wirebook_reattached reattached;
        check(wirebook_books_open(session, &books));
        check(wirebook_records_open(session, &records));
        fprintf(stderr, "attached to process %" PRIu32 "\n", wirebook_writer_pid(session));
        follow(books, records, argv[2]);
        wirebook_records_close(records);
        wirebook_books_close(books);
        fprintf(stderr, "the appliance is gone; waiting for the next\n");
        check(wirebook_reconnect(session, WIREBOOK_FOREVER_NS, &reattached));
    }
}
