// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//
// The benchmark's sender: frames of a prepared market, each at its time.
//
// Arrives: one run a frame of BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES
//          (Documentation/bpf/bpf_prog_run.rst), which gives and recycles the
//          page; what is in it is overwritten.
// Leaves:  the next packet of `packets`, redirected to an interface, once it is
//          due; until then, and after the last, the frame is dropped, which is
//          a turn of the wait.
// Promise: open loop. Nothing that a receiver does delays a packet but the
//          processor time that it takes from this core.
// Counts:  the packets that it redirected. What the interface had no room for
//          is in that interface's own counters.

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

char program_license[] SEC("license") = "Dual MIT/GPL";

// As much as the benchmark's packets have; it refuses longer ones.
#define FRAME_BYTES_MAX 500

struct packet {
	__u32 length;
	__u8 bytes[FRAME_BYTES_MAX];
};

struct schedule {
	// Given.
	__u64 packets;
	// From packet to packet; 0 sends each as soon as it can be.
	__u64 period_ps;
	// Later than this, a packet delays those after it.
	__u64 patience_ns;
	__u64 interface;
	// Told.
	__u64 sent;
	__u64 began_ns;
	__u64 ended_ns;
	__u64 shift_ns;
};

// One entry a packet; the loader says how many.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct schedule);
} schedules SEC(".maps");

SEC("xdp")
int send(struct xdp_md *ctx)
{
	__u32 only = 0;
	struct schedule *schedule = bpf_map_lookup_elem(&schedules, &only);
	if (!schedule || schedule->sent >= schedule->packets)
		return XDP_DROP;

	// CLOCK_MONOTONIC, which userspace reads too.
	__u64 now_ns = bpf_ktime_get_ns();
	if (schedule->began_ns == 0)
		schedule->began_ns = now_ns;
	__u64 due_ns = schedule->began_ns + schedule->shift_ns +
		       schedule->sent * schedule->period_ps / 1000;
	if (now_ns < due_ns)
		return XDP_DROP;
	if (now_ns - due_ns > schedule->patience_ns)
		schedule->shift_ns += now_ns - due_ns;

	__u32 next = schedule->sent;
	struct packet *packet = bpf_map_lookup_elem(&packets, &next);
	if (!packet)
		return XDP_DROP;
	__u64 length = packet->length;
	if (length > sizeof(packet->bytes))
		return XDP_DROP;
	// Or the compiler makes one comparison of both, which the verifier does not follow.
	barrier_var(length);
	if (length < ETH_HLEN)
		return XDP_DROP;
	// The frame has the longest packet's length: it shrinks, never grows.
	int change = (int)length - (int)bpf_xdp_get_buff_len(ctx);
	if (bpf_xdp_adjust_tail(ctx, change) != 0 ||
	    bpf_xdp_store_bytes(ctx, 0, packet->bytes, length) != 0)
		return XDP_DROP;
	schedule->sent++;
	schedule->ended_ns = now_ns;
	return bpf_redirect(schedule->interface, 0);
}
