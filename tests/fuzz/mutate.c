// SPDX-License-Identifier: Apache-2.0
/*
 * The mutator of scripts (guest.h): it inserts, takes out, moves and doubles whole steps, makes chains as
 * a good driver does, and changes one field of a record to a value that is nearly right. Now and then
 * libFuzzer's own mutator does what it likes with the bytes.
 */
#include <linux/virtio_mmio.h>
#include <string.h>

#include "tests/fuzz/guest.h"

#define RECORDS_MAX 256
#define CHAIN_MAX   12 /* buffers of a chain that is made */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other,
				 size_t other_size, uint8_t *out, size_t out_size,
				 unsigned int seed);

struct script {
	struct guest_record record[RECORDS_MAX];
	size_t records, most;
	uint64_t random;
};

/* xorshift64 */
static uint32_t any(struct script *script)
{
	script->random ^= script->random << 13;
	script->random ^= script->random >> 7;
	script->random ^= script->random << 17;
	return (uint32_t)(script->random >> 16);
}

static unsigned int below(struct script *script, size_t n)
{
	return n ? any(script) % (unsigned int)n : 0;
}

static bool one_in(struct script *script, unsigned int n)
{
	return below(script, n) == 0;
}

/* --- records --------------------------------------------------------------------------------- */

/* How many records behind this one belong to it. */
static size_t tail_of(const struct guest_record *record)
{
	if (record->op == GUEST_MOVE)
		return record->a % 8;
	switch (record->op % GUEST_OPS) {
	case GUEST_CHAIN:
		return record->b & 63;
	case GUEST_DATA:
		return ((record->b & 255) + sizeof(*record) - 1) / sizeof(*record);
	default:
		return 0;
	}
}

/* Returns where a random step begins, at most ->records, with its *@length in records. */
static size_t pick(struct script *script, size_t *length)
{
	size_t start[RECORDS_MAX], steps = 0;

	for (size_t i = 1; i < script->records; i += 1 + tail_of(&script->record[i]))
		start[steps++] = i;
	*length = 0;
	if (!steps)
		return script->records;
	size_t at = start[below(script, steps)];
	size_t all = 1 + tail_of(&script->record[at]);
	*length = all < script->records - at ? all : script->records - at;
	return at;
}

/* Returns whether there was room. */
static bool insert(struct script *script, size_t at, const struct guest_record *record, size_t n)
{
	if (script->records + n > script->most || at > script->records)
		return false;
	memmove(&script->record[at + n], &script->record[at],
		(script->records - at) * sizeof(*record));
	memcpy(&script->record[at], record, n * sizeof(*record));
	script->records += n;
	return true;
}

static void cut(struct script *script, size_t at, size_t n)
{
	memmove(&script->record[at], &script->record[at + n],
		(script->records - at - n) * sizeof(script->record[0]));
	script->records -= n;
}

/* --- steps as a driver makes them ------------------------------------------------------------ */

static uint16_t length_of(struct script *script, bool first, bool last)
{
	const struct guest_shape *shape = &guest_device.shape;

	if (first && shape->first && !one_in(script, 16))
		return shape->first;
	if (last && shape->last && !one_in(script, 16))
		return shape->last;
	if (one_in(script, 12))
		return (uint16_t)any(script);
	return shape->lengths[below(script, shape->lengths_count)];
}

static size_t make_chain(struct script *script, struct guest_record *record)
{
	const struct guest_shape *shape = &guest_device.shape;
	unsigned int n = 1 + below(script, one_in(script, 3) ? CHAIN_MAX : 3);
	unsigned int readable = below(script, n + 1), kind = below(script, 4);
	uint32_t offset = below(script, 16) * 4096;

	if (kind < shape->readable)
		readable = n;
	else if (kind >= 4U - shape->writable)
		readable = 0;
	record[0] = (struct guest_record){GUEST_CHAIN, (uint8_t)below(script, 6), (uint16_t)n, 0};
	if (guest_device.shape.last)
		record[0].a = 0;
	if (one_in(script, 4))
		record[0].a |= CHAIN_INDIRECT;
	if (one_in(script, 4))
		record[0].a |= CHAIN_NO_KICK;
	if (one_in(script, 32))
		record[0].a |= (uint8_t)(any(script) & (CHAIN_LOOP | CHAIN_UNSEEN | CHAIN_AGAIN));
	if (one_in(script, 24))
		record[0].b |= (uint16_t)(below(script, 256) << 8);
	for (unsigned int i = 0; i < n; i++) {
		uint16_t len = length_of(script, i == 0, i + 1 == n);
		record[1 + i] = (struct guest_record){i >= readable ? BUFFER_WRITE : 0,
						      PLACE_BUFFERS, len, offset};
		if (one_in(script, 8))
			record[1 + i].a = (uint8_t)below(script, 4);
		if (one_in(script, 48))
			record[1 + i].op ^= (uint8_t)(1u << below(script, 8));
		offset += (len + 15U) & ~15U;
	}
	return 1 + n;
}

/* What the first buffer of a chain is likely to be read from. */
static size_t make_data(struct script *script, struct guest_record *record)
{
	uint8_t bytes[64];

	if (!guest_device.shape.payload)
		return 0;
	size_t len = guest_device.shape.payload(any(script), bytes);
	size_t records = (len + sizeof(*record) - 1) / sizeof(*record);
	record[0] = (struct guest_record){GUEST_DATA, PLACE_BUFFERS, (uint16_t)len,
					  below(script, 16) * 4096};
	memset(&record[1], 0, records * sizeof(*record));
	memcpy(&record[1], bytes, len);
	return 1 + records;
}

/* Data, and a chain that begins with it. */
static size_t make_request(struct script *script, struct guest_record *record)
{
	size_t n = make_data(script, record);
	size_t chain = make_chain(script, record + n);

	if (n > 0)
		record[n + 1].c = record[0].c;
	return n + chain;
}

static struct guest_record make_start(struct script *script)
{
	static const uint8_t sizes[] = {4, 4, 3, 6, 8, 0, 1};
	struct guest_record start = {GUEST_START, 0, sizes[below(script, sizeof(sizes))], 0};

	if (one_in(script, 2))
		start.c = 1u << below(script, 32);
	if (one_in(script, 6))
		start.c = any(script) & any(script) & 0x7fffffff;
	if (one_in(script, 12))
		start.a = (uint8_t)(1u << below(script, 8));
	if (one_in(script, 24))
		start.b |= 0x10 << below(script, 2);
	return start;
}

static struct guest_record make_register(struct script *script)
{
	static const uint16_t registers[] = {
		VIRTIO_MMIO_STATUS,	    VIRTIO_MMIO_QUEUE_SEL,
		VIRTIO_MMIO_QUEUE_READY,    VIRTIO_MMIO_QUEUE_NUM,
		VIRTIO_MMIO_QUEUE_NOTIFY,   VIRTIO_MMIO_INTERRUPT_ACK,
		VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
		VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH,
		VIRTIO_MMIO_DRIVER_FEATURES};
	struct guest_record record = {GUEST_WRITE, 2, 0, 0};

	if (one_in(script, 4))
		return (struct guest_record){one_in(script, 2) ? GUEST_READ : GUEST_WRITE,
					     (uint8_t)(0x80 | below(script, 4)),
					     (uint16_t)below(script, 64),
					     any(script) >> below(script, 32)};
	record.b = registers[below(script, sizeof(registers) / sizeof(registers[0]))];
	record.c = one_in(script, 4) ? any(script) : below(script, 16);
	if (one_in(script, 8)) {
		record.op = GUEST_READ;
		record.b = (uint16_t)(4 * below(script, 64));
	}
	return record;
}

/* What is saved of a device is a hundred bytes or two: most in front, its queues'. */
static size_t make_move(struct script *script, struct guest_record *record)
{
	uint8_t changes = one_in(script, 2) ? 0 : (uint8_t)below(script, 8);

	record[0] = (struct guest_record){GUEST_MOVE, changes, 0, 0};
	if (one_in(script, 16))
		record[0].b = (uint16_t)below(script, 256);
	for (unsigned int i = 1; i <= changes; i++)
		record[i] = (struct guest_record){0, 0, (uint16_t)below(script, 256),
						  1U << below(script, 8)};
	return 1 + changes;
}

/* Something that a script may do next. Returns the number of records, at most RECORDS_MAX. */
static size_t make_step(struct script *script, struct guest_record *record)
{
	switch (below(script, 14)) {
	case 13:
		return make_move(script, record);
	case 0:
		record[0] = make_start(script);
		return 1;
	case 12:
		record[0] = (struct guest_record){GUEST_AGAIN, 0, (uint16_t)below(script, 64), 0};
		return 1;
	case 1:
		record[0] = make_register(script);
		return 1;
	case 2:
	case 3:
		record[0] = (struct guest_record){GUEST_EVENT, (uint8_t)below(script, 16),
						  (uint16_t)(any(script) >> below(script, 16)),
						  any(script) >> below(script, 32)};
		return 1;
	case 4:
		record[0] = (struct guest_record){GUEST_POKE, (uint8_t)below(script, 6),
						  (uint16_t)below(script, 256),
						  any(script) >> below(script, 32)};
		return 1;
	case 5:
		record[0] = (struct guest_record){one_in(script, 2) ? GUEST_KICK : GUEST_TURN,
						  (uint8_t)below(script, 6), 0, 0};
		return 1;
	case 6:
		record[0] = (struct guest_record){GUEST_TIME, (uint8_t)(16 + below(script, 16)),
						  (uint16_t)any(script), 0};
		return 1;
	case 7:
	case 8:
		return make_chain(script, record);
	default:
		return make_request(script, record);
	}
}

/* --- mutations ------------------------------------------------------------------------------- */

static void add_step(struct script *script)
{
	struct guest_record made[RECORDS_MAX];
	size_t length, n = make_step(script, made);
	size_t at = one_in(script, 2) ? script->records : pick(script, &length);

	insert(script, at, made, n);
}

static void double_step(struct script *script)
{
	struct guest_record copy[RECORDS_MAX];
	size_t length, to, from = pick(script, &length);

	memcpy(copy, &script->record[from], length * sizeof(copy[0]));
	to = one_in(script, 2) ? from : pick(script, &(size_t){0});
	insert(script, to, copy, length);
}

static void take_out(struct script *script)
{
	size_t length, at = pick(script, &length);

	cut(script, at, length);
}

static void move_step(struct script *script)
{
	struct guest_record copy[RECORDS_MAX];
	size_t length, from = pick(script, &length);

	memcpy(copy, &script->record[from], length * sizeof(copy[0]));
	cut(script, from, length);
	insert(script, pick(script, &(size_t){0}), copy, length);
}

static uint32_t nearly(struct script *script, uint32_t value)
{
	static const uint32_t nice[] = {
		0,    1,    2,	  3,	 4,	15,    16,     255,	   256,	       257,
		4095, 4096, 4097, 65535, 65536, 32767, 0x7fff, 0x7fffffff, 0x80000000, UINT32_MAX};

	switch (below(script, 5)) {
	case 0:
		return value ^ 1u << below(script, 32);
	case 1:
		return value + 1 - 2 * below(script, 2);
	case 2:
		return value + (below(script, 32) - 16) * 4096;
	case 3:
		return any(script) >> below(script, 32);
	default:
		return nice[below(script, sizeof(nice) / sizeof(nice[0]))];
	}
}

static void change(struct script *script)
{
	struct guest_record *record = &script->record[below(script, script->records)];

	switch (below(script, 8)) {
	case 0:
		record->op = (uint8_t)nearly(script, record->op);
		break;
	case 1:
	case 2:
		record->a = (uint8_t)nearly(script, record->a);
		break;
	case 3:
	case 4:
		record->b = (uint16_t)nearly(script, record->b);
		break;
	default:
		record->c = nearly(script, record->c);
	}
}

static void load(struct script *script, const uint8_t *data, size_t size, size_t size_max,
		 unsigned int seed)
{
	script->random = (uint64_t)seed * 0x9e3779b97f4a7c15ULL + 0x1234567;
	script->most = size_max / sizeof(script->record[0]);
	if (script->most > RECORDS_MAX)
		script->most = RECORDS_MAX;
	script->records = size / sizeof(script->record[0]);
	if (script->records > script->most)
		script->records = script->most;
	memcpy(script->record, data, script->records * sizeof(script->record[0]));
	/* A machine, and a driver. */
	if (script->records == 0 && script->most >= 2) {
		script->record[0] = (struct guest_record){0, (uint8_t)below(script, 16),
							  (uint16_t)below(script, 2), 0};
		script->record[1] = make_start(script);
		script->records = 2;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed)
{
	static struct script script;

	load(&script, data, size, size_max, seed);
	if (script.records == 0 || one_in(&script, 12))
		return LLVMFuzzerMutate(data, size, size_max);
	for (unsigned int i = 0; i < 1 + below(&script, 4); i++) {
		switch (below(&script, 8)) {
		case 0:
			take_out(&script);
			break;
		case 1:
			double_step(&script);
			break;
		case 2:
			move_step(&script);
			break;
		case 3:
		case 4:
			add_step(&script);
			break;
		default:
			change(&script);
		}
	}
	memcpy(data, script.record, script.records * sizeof(script.record[0]));
	return script.records * sizeof(script.record[0]);
}

/* The beginning of one, and the end of the other, from steps on. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *other,
				 size_t other_size, uint8_t *out, size_t out_size,
				 unsigned int seed)
{
	static struct script first, second;
	size_t length;

	load(&first, one, one_size, out_size, seed);
	load(&second, other, other_size, out_size, seed + 1);
	if (first.records == 0 || second.records == 0)
		return 0;
	size_t at = pick(&first, &length), from = pick(&second, &length);
	first.records = at;
	size_t n = second.records - from;
	if (n > first.most - first.records)
		n = first.most - first.records;
	insert(&first, first.records, &second.record[from], n);
	memcpy(out, first.record, first.records * sizeof(first.record[0]));
	return first.records * sizeof(first.record[0]);
}
