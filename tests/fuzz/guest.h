/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does what the input says to one virtio device, through its registers, its rings and RAM.
 * The input is a script: records of 8 bytes. The first describes the machine (struct guest_record, `a` is
 * for the device); each other is a step, with what belongs to it in the records behind it. Every sequence
 * of bytes is a script, and steps that do as a good driver does are as short as bad ones; mutate.c keeps
 * chains nearly right.
 *
 * RAM is [0, 128 KiB), whose first 64 KiB hold the rings, 8 KiB for each queue, and [1 MiB, 1 MiB + 32 KiB).
 * Thread: one.
 */
#ifndef EBB_FUZZ_GUEST_H
#define EBB_FUZZ_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "devices/virtio/mmio.h"
#include "tests/fuzz/host.h"

#define GUEST_LOW	 0x20000U /* the end of the first region */
#define GUEST_HIGH	 0x100000U
#define GUEST_HIGH_SIZE	 0x8000U
#define GUEST_RING_BYTES 0x2000U
#define GUEST_QUEUES	 8	  /* a device here has no more */
#define GUEST_BUFFERS	 0x10000U /* the first byte behind the rings */

/* A step. Numbers are in the machine's byte order: a corpus is for one kind of machine. */
struct guest_record {
	uint8_t op; /* enum guest_op, modulo their number; of a buffer: BUFFER_* */
	uint8_t a;
	uint16_t b;
	uint32_t c;
};

enum guest_op {
	/* A driver's start: a: queues to leave out; b: see START_*; c: features to leave out. */
	GUEST_START,
	/* A chain for queue a % 8, with CHAIN_*: b & 63 buffers in the next records, b >> 8 times more. */
	GUEST_CHAIN,
	/* b & 255 bytes, in the next records, to RAM: place a, offset c. */
	GUEST_DATA,
	GUEST_KICK, /* rings queue a's doorbell; the worker runs */
	GUEST_TURN, /* the worker looks at queue a, though nothing rang */
	/* c to the register b, and from it, 1 << a % 4 bytes; on a configuration space with bit 7 of a. */
	GUEST_WRITE,
	GUEST_READ,
	GUEST_POKE,  /* c into the rings of queue a: b & 7 is POKE_*, b >> 3 an index */
	GUEST_EVENT, /* the device's own: the host's side; see the target */
	GUEST_TIME,  /* b << a % 32 ns pass */
	GUEST_AGAIN, /* the last chain b & 63 times more, each a new one */
	GUEST_OPS,
	/*
	 * By this number alone. The device is saved, and another restored from that takes its place. First, a % 8 bytes
	 * are changed: at the next records' b, by their c; then b bytes are missing. Unchanged, it must go on.
	 */
	GUEST_MOVE = 0xff,
};

#define START_SIZE  0x0f /* of b: log 2 of the queues' size, modulo 9 */
#define START_UNTIL 0x30 /* stops before: 0x10 the queues, 0x20 DRIVER_OK */

#define CHAIN_INDIRECT 0x08
#define CHAIN_LOOP     0x10 /* the last descriptor's next is the first */
#define CHAIN_UNSEEN   0x20 /* not on the available ring */
#define CHAIN_NO_KICK  0x40
#define CHAIN_AGAIN    0x80 /* twice on the available ring */

enum guest_poke {
	POKE_AVAIL_IDX,
	POKE_AVAIL_FLAGS,
	POKE_AVAIL_RING,
	POKE_USED_EVENT,
	POKE_DESC_ADDR,
	POKE_DESC_LEN,
	POKE_DESC_FLAGS, /* and next, from c >> 16 */
	POKE_USED_IDX,
};

/* A buffer: its place is a & 3 (see guest_place()) with offset c, its length b. */
#define BUFFER_WRITE	0x01 /* device-writable */
#define BUFFER_INDIRECT 0x02 /* the descriptor has the flag of a table */
#define BUFFER_FAR	0x04 /* the address is c, with a as bits 32 to 39 */
#define BUFFER_TOP	0x08 /* and bits 40 to 63 are set */
#define BUFFER_PAGES	0x10 /* the length is in pages of 4 KiB */
#define BUFFER_LONG	0x20 /* the length is b << 16 | b */

enum guest_place { PLACE_BUFFERS, PLACE_RINGS, PLACE_HIGH, PLACE_END };

/* What the mutator makes for a device, so that more of it is right. */
struct guest_shape {
	uint16_t first, last;	 /* length of a chain's first and last buffer; 0: any */
	uint8_t readable;	 /* of 4 chains, so many end in readable buffers alone */
	uint8_t writable;	 /* … and so many begin with writable ones */
	const uint16_t *lengths; /* of the others */
	size_t lengths_count;
	/* Fills @data with what a first buffer may hold; returns its length, at most 64. */
	size_t (*payload)(uint32_t random, uint8_t *data);
};

struct guest_device {
	/* Makes the device as new for @machine, and returns it. */
	struct virtio_device *(*plug)(const struct guest_record *machine);
	void (*event)(const struct guest_record *event);
	void (*unplug)(void);
	/* Called after each step: rules of the device's own. NULL: none. */
	void (*check)(void);
	/* Returns how many chains of a queue the device holds between two turns; the core must agree. NULL: none. */
	unsigned int (*held)(unsigned int queue);
	struct guest_shape shape;
};

/* The one that this fuzzer is for. */
extern const struct guest_device guest_device;

struct guest {
	struct ram ram;
	struct virtio_host host;
	struct virtio_mmio mmio;
	unsigned int deferred, muted;
	int doorbell[GUEST_QUEUES], call[GUEST_QUEUES];
	unsigned int interrupts;
	uint32_t next_refusal; /* discards to go until the host refuses one; 0: it refuses none */
	bool inhibited;	       /* discards are held back */
	bool others_write; /* a server of the rings does with them as it likes; plug() sets it */
};

extern struct guest guest;

/* Returns the gpa at @offset of a place. */
uint64_t guest_gpa(unsigned int place, uint32_t offset);

/* The functions that the device has of its host; guest_host.c. */
struct virtio_host guest_host(void);
/* The rings were written by others than the driver and the device: they prove nothing any more. */
void guest_rings_are_spoilt(void);

/* What of RAM the device may touch: guest_memory.c. At the beginning nothing but the rings. */
void guest_memory_begin(void);
/* All of it, until the next beginning. */
void guest_memory_open(void);
void guest_memory_give(unsigned int queue, uint16_t head, uint64_t gpa, uint64_t len);
#define GUEST_ALL_HEADS (-1)
void guest_memory_take(unsigned int queue, int head);
/* The driver's own writes; @data NULL: zeros. Without effect if that is not RAM. */
void guest_memory_write(uint64_t gpa, const void *data, size_t len);

/* Runs a script. */
void guest_run(const uint8_t *data, size_t size);

/* The worker does what was deferred, at most so many turns; and looks at one queue. */
void guest_work(void);
void guest_turn(unsigned int queue);

#endif
