// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/fake_driver.h"

#define SIZE	8
#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE
#define IND	VRING_DESC_F_INDIRECT
#define TABLE	BLOCKS_GPA /* where indirect tables lie */
#define GIB	(1ULL << 30)
#define NOWHERE (1ULL << 40) /* not RAM */

static struct fake_driver driver;
static struct fake_queue *ring;
static struct virtq q;
static struct virtq_chain chain;

static void start(unsigned int size, bool indirect)
{
	fake_queue_init(&driver, 0, size);
	q = (struct virtq){
		.size_max = VIRTIO_QUEUE_SIZE_MAX,
		.size = size,
		.desc_gpa = RINGS_GPA,
		.avail_gpa = RINGS_GPA + 16 * KIB,
		.used_gpa = RINGS_GPA + 32 * KIB,
	};
	ck_assert_int_eq(virtq_start(&q, &driver.ram, indirect ? VIRTQ_INDIRECT : 0), 0);
	ring = &driver.queue[0];
}

static void setup(void)
{
	fake_driver_init(&driver);
	start(SIZE, true);
}

static void teardown(void)
{
	fake_driver_release(&driver);
}

/* --- set-up ---------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t size;
	uint64_t desc, avail, used;
	int error;
} starts[] = {
	{"smallest", 1, 0x1000, 0x2000, 0x3000, 0},
	{"largest", 256, 0x1000, 0x2000, 0x3000, 0},
	{"no size", 0, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"not a power of two", 24, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"too large", 512, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"too large for 16 bits", 0x10000, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"8 in the low bits only", 0x10008, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"largest power of two", 0x80000000, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"descriptors misaligned", 8, 0x1008, 0x2000, 0x3000, -EINVAL},
	{"available misaligned", 8, 0x1000, 0x2001, 0x3000, -EINVAL},
	{"available aligned enough", 8, 0x1000, 0x2002, 0x3000, 0},
	{"used misaligned", 8, 0x1000, 0x2000, 0x3002, -EINVAL},
	{"used aligned enough", 8, 0x1000, 0x2000, 0x3004, 0},
	{"descriptors to the last byte", 8, LOW_END - 128, 0x2000, 0x3000, 0},
	{"descriptors past it", 8, LOW_END - 112, 0x2000, 0x3000, -EINVAL},
	{"available to the last byte", 8, 0x1000, LOW_END - 22, 0x3000, 0},
	{"available past it", 8, 0x1000, LOW_END - 20, 0x3000, -EINVAL},
	{"used past it", 8, 0x1000, 0x2000, LOW_END - 68, -EINVAL},
	{"used to the last bytes", 8, 0x1000, 0x2000, LOW_END - 72, 0},
	{"descriptors in the hole", 8, LOW_END, 0x2000, 0x3000, -EINVAL},
	{"available in the hole", 8, 0x1000, LOW_END, 0x3000, -EINVAL},
	{"used in the hole", 8, 0x1000, 0x2000, LOW_END, -EINVAL},
	{"descriptors that wrap", 8, -16ULL, 0x2000, 0x3000, -EINVAL},
	{"available that wraps", 8, 0x1000, -2ULL, 0x3000, -EINVAL},
	{"used that wraps", 8, 0x1000, 0x2000, -4ULL, -EINVAL},
	{"all in one place", 8, 0x1000, 0x1000, 0x1000, 0},
};

START_TEST(set_up_is_checked)
{
	struct virtq new = {
		.size_max = VIRTIO_QUEUE_SIZE_MAX,
		.size = starts[_i].size,
		.desc_gpa = starts[_i].desc,
		.avail_gpa = starts[_i].avail,
		.used_gpa = starts[_i].used,
	};
	ck_assert_msg(virtq_start(&new, &driver.ram, 0) == starts[_i].error, "%s", starts[_i].name);
	ck_assert_msg(new.ready == (starts[_i].error == 0), "%s", starts[_i].name);
}
END_TEST

START_TEST(a_queue_that_is_not_there_cannot_start)
{
	struct virtq none = {
		.size = 1, .desc_gpa = 0x1000, .avail_gpa = 0x2000, .used_gpa = 0x3000};
	ck_assert_int_eq(virtq_start(&none, &driver.ram, 0), -EINVAL);
}
END_TEST

START_TEST(reset_keeps_only_what_the_device_said)
{
	virtq_reset(&q);
	ck_assert_uint_eq(q.size_max, VIRTIO_QUEUE_SIZE_MAX);
	ck_assert(!q.ready && !q.desc && !q.size && !q.desc_gpa);
}
END_TEST

/* --- well-formed ----------------------------------------------------------------------------- */

START_TEST(a_chain_is_copied)
{
	const struct gpa_range buffer[] = {{0x5000, 10}, {NOWHERE, 20}, {-1ULL, 30}};
	struct vring_used_elem element;

	ck_assert(virtq_empty(&q));
	ck_assert_int_eq(virtq_pop(&q, &chain), 0);
	uint16_t head = fake_queue_add(ring, buffer, 3, 1);
	ck_assert(!virtq_empty(&q));
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert(virtq_empty(&q));
	ck_assert_int_eq(virtq_pop(&q, &(struct virtq_chain){0}), 0);

	ck_assert_uint_eq(chain.head, head);
	ck_assert_uint_eq(chain.buffers, 3);
	ck_assert_uint_eq(chain.readable, 1);
	ck_assert_mem_eq(chain.buffer, buffer, sizeof(buffer));

	ck_assert(!fake_queue_used(ring, &element));
	virtq_push(&q, &chain, 1234);
	ck_assert(fake_queue_used(ring, &element));
	ck_assert_uint_eq(element.id, head);
	ck_assert_uint_eq(element.len, 1234);
	ck_assert(!fake_queue_used(ring, &element));
}
END_TEST

START_TEST(indices_wrap_at_16_bits)
{
	struct vring_used_elem element;
	uint32_t i;

	/* One assertion after the loop: Check takes its time over each. */
	for (i = 0; i < 2 * 65536 + SIZE; i++) {
		const struct gpa_range buffer = {i * 16ULL, i % 1000 + 1};
		uint16_t head = fake_queue_add(ring, &buffer, 1, i % 2);
		if (virtq_pop(&q, &chain) != 1 || chain.head != head || chain.buffers != 1 ||
		    memcmp(&chain.buffer[0], &buffer, sizeof(buffer)) != 0)
			break;
		virtq_push(&q, &chain, i);
		if (!fake_queue_used(ring, &element) || element.id != head || element.len != i)
			break;
		if (!virtq_should_interrupt(&q))
			break;
	}
	ck_assert_uint_eq(i, 2 * 65536 + SIZE);
}
END_TEST

/* All of a ring outstanding, given back in another order, all the way round. */
START_TEST(chains_may_be_held_together)
{
	static struct virtq_chain held[SIZE];
	struct vring_used_elem element;

	q.next_avail = q.next_used = q.signalled = 65535 - SIZE / 2;
	ring->avail->idx = ring->used->idx = ring->used_seen = q.next_avail;
	for (unsigned int i = 0; i < SIZE; i++) {
		fake_queue_desc(ring, i, i * 0x1000, i, WRITE, 0);
		fake_queue_publish(ring, i);
	}
	for (unsigned int i = 0; i < SIZE; i++)
		ck_assert_int_eq(virtq_pop(&q, &held[i]), 1);
	ck_assert_int_eq(virtq_pop(&q, &chain), 0);
	for (unsigned int i = SIZE; i-- > 0;)
		virtq_push(&q, &held[i], i);
	for (unsigned int i = SIZE; i-- > 0;) {
		ck_assert(fake_queue_used(ring, &element));
		ck_assert_uint_eq(element.id, i);
	}
}
END_TEST

START_TEST(the_longest_chain)
{
	struct gpa_range buffer[VIRTIO_QUEUE_SIZE_MAX];

	start(VIRTIO_QUEUE_SIZE_MAX, false);
	for (unsigned int i = 0; i < VIRTIO_QUEUE_SIZE_MAX; i++)
		buffer[i] = (struct gpa_range){i * 0x1000, 1};
	fake_queue_add(ring, buffer, VIRTIO_QUEUE_SIZE_MAX, 100);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.buffers, VIRTIO_QUEUE_SIZE_MAX);
	ck_assert_uint_eq(chain.readable, 100);
	ck_assert_mem_eq(chain.buffer, buffer, sizeof(buffer));
}
END_TEST

static void table_entry(unsigned int index, uint64_t gpa, uint32_t len, uint16_t flags,
			uint16_t next)
{
	struct vring_desc *table = fake_driver_at(&driver, TABLE, 16 * 512);
	table[index] = (struct vring_desc){gpa, len, flags, next};
}

START_TEST(an_indirect_chain)
{
	/* Direct first, then a table whose entries do not come in order, of which one is unused. */
	fake_queue_desc(ring, 5, 0x5000, 50, NEXT, 2);
	fake_queue_desc(ring, 2, TABLE, 4 * 16, IND | WRITE, 7);
	table_entry(0, 0x6000, 60, NEXT, 3);
	table_entry(3, 0x7000, 70, NEXT | WRITE, 1);
	table_entry(1, 0x8000, 80, WRITE, 0);
	table_entry(2, 0xbad, 0xbad, IND, 0xbad);
	fake_queue_publish(ring, 5);

	const struct gpa_range expected[] = {
		{0x5000, 50}, {0x6000, 60}, {0x7000, 70}, {0x8000, 80}};
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.head, 5);
	ck_assert_uint_eq(chain.buffers, 4);
	ck_assert_uint_eq(chain.readable, 2);
	ck_assert_mem_eq(chain.buffer, expected, sizeof(expected));
}
END_TEST

/* The table is as long as a chain may be, wherever it lies: longer than the queue, and unaligned.
 */
START_TEST(the_longest_indirect_chain)
{
	const uint64_t gpa = HIGH_END - VIRTIO_QUEUE_SIZE_MAX * 16 - 1;
	uint8_t *at = fake_driver_at(&driver, gpa, VIRTIO_QUEUE_SIZE_MAX * 16);

	for (unsigned int i = 0; i < VIRTIO_QUEUE_SIZE_MAX; i++) {
		struct vring_desc desc = {i, 1, i + 1 < VIRTIO_QUEUE_SIZE_MAX ? NEXT : 0, i + 1};
		memcpy(at + i * 16, &desc, 16);
	}
	fake_queue_desc(ring, 0, gpa, VIRTIO_QUEUE_SIZE_MAX * 16, IND, 0);
	fake_queue_publish(ring, 0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.buffers, VIRTIO_QUEUE_SIZE_MAX);
	ck_assert_uint_eq(chain.buffer[255].gpa, 255);
}
END_TEST

START_TEST(a_chain_may_have_4_gib)
{
	fake_queue_desc(ring, 0, 0, 0xffffffff, WRITE | NEXT, 1);
	fake_queue_desc(ring, 1, 0, 1, WRITE, 0);
	fake_queue_publish(ring, 0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
}
END_TEST

/* --- malformed, one by one ------------------------------------------------------------------- */

static void head_too_large(void)
{
	fake_queue_publish(ring, SIZE);
}

static void head_far_too_large(void)
{
	fake_queue_publish(ring, 0xffff);
}

static void next_too_large(void)
{
	fake_queue_desc(ring, 0, 0, 1, NEXT, SIZE);
	fake_queue_publish(ring, 0);
}

static void loop_to_itself(void)
{
	fake_queue_desc(ring, 0, 0, 1, NEXT, 0);
	fake_queue_publish(ring, 0);
}

static void loop_of_all(void)
{
	for (unsigned int i = 0; i < SIZE; i++)
		fake_queue_desc(ring, i, 0, 1, NEXT, (i + 1) % SIZE);
	fake_queue_publish(ring, 3);
}

static void loop_of_empty_buffers(void)
{
	fake_queue_desc(ring, 0, 0, 0, NEXT, 1);
	fake_queue_desc(ring, 1, 0, 0, NEXT, 0);
	fake_queue_publish(ring, 0);
}

static void readable_after_writable(void)
{
	fake_queue_desc(ring, 0, 0, 1, NEXT | WRITE, 1);
	fake_queue_desc(ring, 1, 0, 1, 0, 0);
	fake_queue_publish(ring, 0);
}

static void more_than_4_gib(void)
{
	fake_queue_desc(ring, 0, 0, 0xffffffff, WRITE | NEXT, 1);
	fake_queue_desc(ring, 1, 0, 2, WRITE, 0);
	fake_queue_publish(ring, 0);
}

static void index_too_far(void)
{
	ring->avail->idx = SIZE + 1;
}

static void index_backwards(void)
{
	ring->avail->idx = 0xffff;
}

/* One is held, and the index goes back to before it. */
static void index_takes_back_what_is_held(void)
{
	fake_queue_desc(ring, 0, 0, 1, 0, 0);
	fake_queue_publish(ring, 0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ring->avail->idx = 0;
}

/* As many as the ring holds, one of them held already, and one more. */
static void index_one_more_than_fits(void)
{
	fake_queue_desc(ring, 0, 0, 1, 0, 0);
	fake_queue_publish(ring, 0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ring->avail->idx = SIZE + 1;
}

static void indirect(uint64_t gpa, uint32_t len, uint16_t flags)
{
	table_entry(0, 0x1000, 1, NEXT, 1);
	table_entry(1, 0x1000, 1, 0, 0);
	fake_queue_desc(ring, 0, gpa, len, flags, 1);
	fake_queue_publish(ring, 0);
}

static void indirect_not_negotiated(void)
{
	start(SIZE, false);
	indirect(TABLE, 2 * 16, IND);
}

static void indirect_and_next(void)
{
	indirect(TABLE, 2 * 16, IND | NEXT);
}

static void indirect_empty(void)
{
	indirect(TABLE, 0, IND);
}

static void indirect_not_whole_entries(void)
{
	indirect(TABLE, 2 * 16 + 1, IND);
}

static void indirect_less_than_an_entry(void)
{
	indirect(TABLE, 15, IND);
}

static void indirect_too_long(void)
{
	indirect(TABLE, (VIRTIO_QUEUE_SIZE_MAX + 1) * 16, IND);
}

static void indirect_far_too_long(void)
{
	indirect(TABLE, 0xfffffff0, IND);
}

static void indirect_not_in_ram(void)
{
	indirect(NOWHERE, 2 * 16, IND);
}

static void indirect_runs_into_the_hole(void)
{
	indirect(LOW_END - 16, 2 * 16, IND);
}

static void indirect_wraps(void)
{
	indirect(-16ULL, 2 * 16, IND);
}

static void indirect_within_indirect(void)
{
	indirect(TABLE, 2 * 16, IND);
	table_entry(1, TABLE + 256, 16, IND, 0);
	table_entry(16, 0, 1, 0, 0);
}

static void indirect_of_itself(void)
{
	indirect(TABLE, 2 * 16, IND);
	table_entry(0, TABLE, 2 * 16, IND, 0);
}

static void indirect_next_outside_table(void)
{
	indirect(TABLE, 2 * 16, IND);
	table_entry(0, 0, 1, NEXT, 2);
	table_entry(2, 0, 1, 0, 0);
}

static void indirect_loop(void)
{
	indirect(TABLE, 2 * 16, IND);
	table_entry(1, 0, 1, NEXT, 0);
}

static void indirect_readable_after_writable(void)
{
	fake_queue_desc(ring, 1, 0, 1, NEXT | WRITE, 0);
	indirect(TABLE, 2 * 16, IND);
	ring->avail->ring[0] = 1;
}

/* Each table is within its bound, both together are not within the chain's. */
static void direct_and_indirect_too_long(void)
{
	fake_queue_desc(ring, 1, 0, 1, NEXT, 0);
	indirect(TABLE, VIRTIO_QUEUE_SIZE_MAX * 16, IND);
	for (unsigned int i = 0; i < VIRTIO_QUEUE_SIZE_MAX; i++)
		table_entry(i, 0, 1, i + 1 < VIRTIO_QUEUE_SIZE_MAX ? NEXT : 0, i + 1);
	ring->avail->ring[0] = 1;
}

static const struct {
	const char *name;
	void (*make)(void);
} malformed[] = {
/* The formatter's versions disagree about this macro. */
/* clang-format off */
#define CASE(name) {#name, name}
	/* clang-format on */
	CASE(head_too_large),
	CASE(head_far_too_large),
	CASE(next_too_large),
	CASE(loop_to_itself),
	CASE(loop_of_all),
	CASE(loop_of_empty_buffers),
	CASE(readable_after_writable),
	CASE(more_than_4_gib),
	CASE(index_too_far),
	CASE(index_backwards),
	CASE(index_takes_back_what_is_held),
	CASE(index_one_more_than_fits),
	CASE(indirect_not_negotiated),
	CASE(indirect_and_next),
	CASE(indirect_empty),
	CASE(indirect_not_whole_entries),
	CASE(indirect_less_than_an_entry),
	CASE(indirect_too_long),
	CASE(indirect_far_too_long),
	CASE(indirect_not_in_ram),
	CASE(indirect_runs_into_the_hole),
	CASE(indirect_wraps),
	CASE(indirect_within_indirect),
	CASE(indirect_of_itself),
	CASE(indirect_next_outside_table),
	CASE(indirect_loop),
	CASE(indirect_readable_after_writable),
	CASE(direct_and_indirect_too_long),
#undef CASE
};

START_TEST(malformed_is_refused)
{
	malformed[_i].make();
	uint16_t next = q.next_avail;
	ck_assert_msg(virtq_pop(&q, &chain) == -EPROTO, "%s", malformed[_i].name);
	ck_assert_uint_eq(q.next_avail, next);
	ck_assert_uint_eq(ring->used->idx, 0);
}
END_TEST

/* The same chains as some of the above, without what is wrong: they must not be refused. */
START_TEST(the_well_formed_twin_is_taken)
{
	indirect(TABLE, 2 * 16, IND);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	for (unsigned int i = 0; i < SIZE; i++)
		fake_queue_desc(ring, i, 0, 0, i + 1 < SIZE ? NEXT : 0, i + 1);
	fake_queue_publish(ring, 0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.buffers, SIZE);
}
END_TEST

/* --- several chains as one -------------------------------------------------------------------- */

START_TEST(chains_can_wait_again)
{
	const struct gpa_range buffer = {0, 1};
	uint16_t head[3];

	for (unsigned int i = 0; i < 3; i++)
		head[i] = fake_queue_add(ring, &buffer, 1, 0);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	virtq_unpop(&q, 2);
	ck_assert(!virtq_empty(&q));
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.head, head[1]);
	virtq_unpop(&q, 2);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.head, head[0]);
}
END_TEST

START_TEST(chains_come_back_together)
{
	const struct gpa_range buffer = {0, 1};
	struct vring_used_elem element;

	/* Across the end of the ring and of its index. */
	q.next_avail = q.next_used = 0xffff - 1;
	ring->avail->idx = ring->used->idx = ring->used_seen = 0xffff - 1;
	for (unsigned int i = 0; i < 3; i++)
		fake_queue_add(ring, &buffer, 1, 0);
	struct virtq_done done[3];
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(virtq_pop(&q, &chain), 1);
		done[i] = (struct virtq_done){chain.head, 10 + i};
	}
	virtq_push_all(&q, done, 3);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert(fake_queue_used(ring, &element));
		ck_assert_uint_eq(element.id, done[i].head);
		ck_assert_uint_eq(element.len, 10 + i);
	}
	ck_assert(!fake_queue_used(ring, &element));
	ck_assert(virtq_should_interrupt(&q));
}
END_TEST

/* --- interrupts ------------------------------------------------------------------------------ */

START_TEST(interrupts_are_as_the_driver_wants)
{
	const struct gpa_range buffer = {0, 1};

	ck_assert(!virtq_should_interrupt(&q)); /* nothing was pushed */
	fake_queue_add(ring, &buffer, 1, 0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert(!virtq_should_interrupt(&q));
	virtq_push(&q, &chain, 0);
	ck_assert(virtq_should_interrupt(&q));
	ck_assert(!virtq_should_interrupt(&q)); /* asked already */

	ring->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	fake_queue_add(ring, &buffer, 1, 0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	virtq_push(&q, &chain, 0);
	ck_assert(!virtq_should_interrupt(&q));
}
END_TEST

Suite *queue_suite(void);
Suite *queue_suite(void)
{
	Suite *suite = suite_create("queue");
	TCase *tcase = tcase_create("rings");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, set_up_is_checked, 0, sizeof(starts) / sizeof(starts[0]));
	tcase_add_test(tcase, a_queue_that_is_not_there_cannot_start);
	tcase_add_test(tcase, reset_keeps_only_what_the_device_said);
	tcase_add_test(tcase, a_chain_is_copied);
	tcase_add_test(tcase, indices_wrap_at_16_bits);
	tcase_add_test(tcase, chains_may_be_held_together);
	tcase_add_test(tcase, the_longest_chain);
	tcase_add_test(tcase, an_indirect_chain);
	tcase_add_test(tcase, the_longest_indirect_chain);
	tcase_add_test(tcase, a_chain_may_have_4_gib);
	tcase_add_loop_test(tcase, malformed_is_refused, 0,
			    sizeof(malformed) / sizeof(malformed[0]));
	tcase_add_test(tcase, the_well_formed_twin_is_taken);
	tcase_add_test(tcase, chains_can_wait_again);
	tcase_add_test(tcase, chains_come_back_together);
	tcase_add_test(tcase, interrupts_are_as_the_driver_wants);
	suite_add_tcase(suite, tcase);
	return suite;
}
