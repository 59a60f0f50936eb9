// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//
// The steering program: one XDP program an interface.
//
// Arrives: every Ethernet frame of the interface.
// Leaves:  a UDP datagram of a configured line is redirected to the AF_XDP
//          socket of its RX queue, with a struct metadata before the packet;
//          every other frame goes on to the kernel, unchanged.
// Promise: nothing is dropped here. What the kernel should see (other
//          protocols, IP fragments, malformed headers) it sees.
// Counts:  steered, passed, malformed and no_socket, one row a CPU. Each frame
//          adds one to exactly one of them.
//
// It is compiled twice. Plain, it loads with any loader and on any interface.
// With WIREBOOK_HARDWARE_TIMESTAMP it calls a kfunc that the verifier accepts
// only in a program bound to one device (kernel/bpf/offload.c,
// bpf_dev_bound_kfunc_check), and it checks that before it removes dead code:
// a switch in read-only data would not keep the plain program loadable.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// The kfunc is for GPL-compatible programs only.
char program_license[] SEC("license") = "Dual MIT/GPL";

#define LINES_MAX 4096
#define QUEUES_MAX 1024

// Stands in a key for a VLAN tag that is not there, and for "whatever tags".
#define VLAN_NONE 0xffff
#define VLAN_ANY 0xfffe
#define VLAN_TAGS_MAX 2
#define VLAN_ID_MASK 0x0fff

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_MASK 0x1fff

// The high byte of metadata.flags, by which userspace knows our metadata.
#define METADATA_TAG 0xb500
#define METADATA_HARDWARE_CLOCK 0x0001

struct line_key {
	__be32 group;
	__be16 port;
	__u16 outer_vlan;
	__u16 inner_vlan;
	__u16 zero;
};

struct metadata {
	// CLOCK_TAI of this host, or the device's clock with METADATA_HARDWARE_CLOCK.
	__u64 rx_timestamp_ns;
	__u16 line;
	__u16 flags;
	// Of the UDP payload, from the first byte of the Ethernet header.
	__u16 payload_offset;
	__u16 payload_length;
};

struct counters {
	__u64 steered;
	__u64 passed;
	__u64 malformed;
	__u64 no_socket;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LINES_MAX);
	__type(key, struct line_key);
	__type(value, __u16);
} lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counts SEC(".maps");

struct vlan_tag {
	__be16 tci;
	__be16 next_protocol;
};

enum verdict { PASS, MALFORMED, STEER };

#ifdef WIREBOOK_HARDWARE_TIMESTAMP
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *timestamp) __ksym __weak;
#endif

// The time of arrival. A driver that has none answers 0 or an error: then it
// is the time at which this program runs.
static __always_inline void take_timestamp(struct xdp_md *ctx, __u64 *timestamp_ns, __u16 *flags)
{
#ifdef WIREBOOK_HARDWARE_TIMESTAMP
	__u64 hardware_ns = 0;

	if (bpf_ksym_exists(bpf_xdp_metadata_rx_timestamp) &&
	    bpf_xdp_metadata_rx_timestamp(ctx, &hardware_ns) == 0 && hardware_ns != 0) {
		*timestamp_ns = hardware_ns;
		*flags = METADATA_TAG | METADATA_HARDWARE_CLOCK;
		return;
	}
#endif
	*timestamp_ns = bpf_ktime_get_tai_ns();
	*flags = METADATA_TAG;
}

// Walks Ethernet, up to two VLAN tags, IPv4 and UDP. On STEER, fills `key` and
// the payload's place in `meta`; every length in them has been held against
// the bytes that are there.
static __always_inline enum verdict parse(struct xdp_md *ctx, struct line_key *key,
					  struct metadata *meta)
{
	void *start = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	struct ethhdr *ethernet = start;
	if ((void *)(ethernet + 1) > end)
		return MALFORMED;

	__be16 protocol = ethernet->h_proto;
	void *next = ethernet + 1;
	key->outer_vlan = VLAN_NONE;
	key->inner_vlan = VLAN_NONE;

#pragma unroll
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		struct vlan_tag *tag = next;
		if ((void *)(tag + 1) > end)
			return MALFORMED;
		__u16 id = bpf_ntohs(tag->tci) & VLAN_ID_MASK;
		// Id 0 is a priority tag: the frame is in no VLAN (IEEE 802.1Q, 9.6).
		if (id != 0) {
			if (key->outer_vlan == VLAN_NONE)
				key->outer_vlan = id;
			else
				key->inner_vlan = id;
		}
		protocol = tag->next_protocol;
		next = tag + 1;
	}
	if (protocol != bpf_htons(ETH_P_IP))
		return PASS;

	struct iphdr *ip = next;
	if ((void *)(ip + 1) > end)
		return MALFORMED;
	__u32 ip_header_length = ip->ihl * 4;
	if (ip->version != 4 || ip_header_length < sizeof(*ip))
		return MALFORMED;
	if (ip->protocol != IPPROTO_UDP)
		return PASS;
	// Only the first fragment has ports, and it alone is no datagram.
	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_MASK))
		return PASS;
	// The frame may be longer than the packet (Ethernet padding), never shorter.
	__u32 ip_length = bpf_ntohs(ip->tot_len);
	if (ip_length < ip_header_length + sizeof(struct udphdr) ||
	    next + ip_length > end)
		return MALFORMED;

	struct udphdr *udp = next + ip_header_length;
	if ((void *)(udp + 1) > end)
		return MALFORMED;
	__u32 udp_length = bpf_ntohs(udp->len);
	if (udp_length < sizeof(*udp) || udp_length > ip_length - ip_header_length)
		return MALFORMED;

	key->group = ip->daddr;
	key->port = udp->dest;
	meta->payload_offset = (void *)(udp + 1) - start;
	meta->payload_length = udp_length - sizeof(*udp);
	return STEER;
}

// The line of a datagram: first the one that names its VLAN tags, then the one
// that takes any.
static __always_inline __u16 *find_line(struct line_key *key)
{
	__u16 *line = bpf_map_lookup_elem(&lines, key);

	if (line)
		return line;
	key->outer_vlan = VLAN_ANY;
	key->inner_vlan = VLAN_ANY;
	return bpf_map_lookup_elem(&lines, key);
}

// Puts `meta` before the packet. A driver that cannot carry metadata refuses
// the first step; the packet is steered all the same, and userspace parses it.
static __always_inline int prepend(struct xdp_md *ctx, const struct metadata *meta)
{
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)) != 0)
		return 0;
	struct metadata *room = (void *)(long)ctx->data_meta;
	if ((void *)(room + 1) > (void *)(long)ctx->data)
		return 0;
	*room = *meta;
	return 1;
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	__u32 row = 0;
	struct counters *count = bpf_map_lookup_elem(&counts, &row);
	if (!count)
		return XDP_PASS;

	struct line_key key = {};
	struct metadata meta = {};
	switch (parse(ctx, &key, &meta)) {
	case MALFORMED:
		count->malformed++;
		return XDP_PASS;
	case PASS:
		count->passed++;
		return XDP_PASS;
	case STEER:
		break;
	}
	__u16 *line = find_line(&key);
	if (!line) {
		count->passed++;
		return XDP_PASS;
	}

	meta.line = *line;
	take_timestamp(ctx, &meta.rx_timestamp_ns, &meta.flags);
	int prepended = prepend(ctx, &meta);
	long action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
	if (action == XDP_REDIRECT) {
		count->steered++;
		return XDP_REDIRECT;
	}
	// No socket serves this queue: the kernel gets the frame as it came.
	if (prepended)
		bpf_xdp_adjust_meta(ctx, sizeof(meta));
	count->no_socket++;
	return XDP_PASS;
}
