// SPDX-License-Identifier: Apache-2.0
/* A disk that another process serves: one that does, one that ends, one that is slow and one that lies. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio-blk/served.h"
#include "tests/unit/fake_backend.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/said.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/wake.h"

#define BIT(bit) (1ULL << (bit))
#define V1	 BIT(VIRTIO_F_VERSION_1)
#define PROTOCOL BIT(VHOST_USER_F_PROTOCOL_FEATURES)
#define ACK	 BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK)
#define CONFIG	 BIT(VHOST_USER_PROTOCOL_F_CONFIG)
#define FLUSH	 BIT(VIRTIO_BLK_F_FLUSH)
#define RO	 BIT(VIRTIO_BLK_F_RO)
#define MQ	 BIT(VIRTIO_BLK_F_MQ)
#define SIZE	 16
/* Long enough for a thread of a busy machine; and for what is to run out. */
#define LIMIT_NS (60 * NS_PER_S)
#define SOON_NS	 (100 * NS_PER_MS)

static struct fake_driver guest;
static struct blk_served blk;
static struct fake_backend backend, second;
static struct virtio_blk_config space;
static unsigned int losts, ends;
static pthread_t helper;
static bool helped;

static void found(void *ctx, int socket)
{
	(void)ctx, (void)socket;
}

static void lost(void *ctx)
{
	(void)ctx;
	losts++;
}

static void *kill_later(void *ctx)
{
	clock_sleep_ms(200);
	fake_backend_kill(&backend);
	return ctx;
}

/* The keeper kills it, from another process: that takes a moment. */
static void end(void *ctx)
{
	(void)ctx;
	if (ends++ > 0)
		return;
	helped = true;
	ck_assert_int_eq(pthread_create(&helper, NULL, kill_later, NULL), 0);
}

static struct virtio_blk_config good(void)
{
	return (struct virtio_blk_config){.capacity = htole64(2048),
					  .seg_max = htole32(254),
					  .blk_size = htole32(512),
					  .num_queues = htole16(4)};
}

static int begin(uint64_t limit_ns, bool read_only)
{
	const struct vhost_user_config config = {
		.name = "disk0", .found = found, .lost = lost, .end = end, .limit_ns = limit_ns};

	fake_driver_init_shared(&guest);
	ck_assert_int_eq(blk_served_init(&blk, &config, &guest.host), 0);
	int fd = fake_backend_start(&backend);
	int error = vhost_user_device_open(&blk.served, fd, clock_ns() + LIMIT_NS);
	return error ? error : blk_served_configure(&blk, read_only, clock_ns() + limit_ns);
}

static void prepare(void)
{
	space = good();
	backend = (struct fake_backend){.features = V1 | PROTOCOL | FLUSH | MQ,
					.protocol = ACK | CONFIG,
					.config = &space,
					.config_len = sizeof(space)};
	second = backend;
	losts = ends = 0;
	helped = false;
}

static void setup(void)
{
	prepare();
	ck_assert_int_eq(begin(LIMIT_NS, false), 0);
	fake_driver_plug(&guest, &blk.served.dev);
}

static void teardown(void)
{
	blk_served_release(&blk);
	if (helped)
		pthread_join(helper, NULL);
	fake_backend_kill(&backend);
	fake_backend_kill(&second);
	fake_driver_release(&guest);
}

/* --- the driver ------------------------------------------------------------------------------ */

static void start(void)
{
	fake_driver_start(&guest, V1 | FLUSH, 1, SIZE);
}

static uint8_t *status_of(unsigned int number)
{
	return fake_driver_at(&guest, BLOCKS_GPA + number * 4 * KIB + 3 * KIB, 1);
}

/* Request @number: a header, 1 KiB of data in the direction of its type, and the status. */
static uint16_t ask(unsigned int number, uint32_t type)
{
	uint64_t gpa = BLOCKS_GPA + number * 4 * KIB;
	bool reads = type == VIRTIO_BLK_T_IN;
	struct gpa_range buffer[] = {{gpa, 16}, {gpa + KIB, KIB}, {gpa + 3 * KIB, 1}};

	*(struct virtio_blk_outhdr *)fake_driver_at(&guest, gpa, 16) =
		(struct virtio_blk_outhdr){.type = htole32(type)};
	*status_of(number) = 0xff;
	if (type == VIRTIO_BLK_T_FLUSH)
		buffer[1] = buffer[2];
	unsigned int n = type == VIRTIO_BLK_T_FLUSH ? 2 : 3;
	uint16_t head = fake_queue_add(&guest.queue[0], buffer, n, reads ? 1 : n - 1);
	fake_driver_kick(&guest, 0);
	return head;
}

static void turn(void)
{
	vhost_user_device_called(&blk.served, 0);
	fake_driver_work(&guest);
}

static struct vring_used_elem wait_used(void)
{
	struct vring_used_elem element = {0};
	uint64_t deadline = clock_ns() + LIMIT_NS;

	for (;;) {
		turn();
		if (fake_queue_used(&guest.queue[0], &element))
			return element;
		ck_assert_uint_lt(clock_ns(), deadline);
		clock_sleep_ms(1);
	}
}

static void wait_taken(const struct fake_backend *by, unsigned int n)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (atomic_load(&by->taken) < n) {
		ck_assert_uint_lt(clock_ns(), deadline);
		clock_sleep_ms(1);
	}
}

/* A backend rings, and is counted then, after a chain has come back. */
static void wait_counted(const atomic_ullong *counter, uint64_t n)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (turn(), atomic_load(counter) < n) {
		ck_assert_uint_lt(clock_ns(), deadline);
		clock_sleep_ms(1);
	}
}

static bool needs_reset(void)
{
	return fake_driver_get(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void kill_it(void)
{
	fake_backend_kill(&backend);
	vhost_user_device_stirs(&blk.served);
	fake_driver_work(&guest);
}

/* --- a backend that serves ------------------------------------------------------------------- */

START_TEST(configuration)
{
	struct virtio_blk_config config;

	for (unsigned int i = 0; i < sizeof(config); i++)
		virtio_mmio_read(&guest.mmio, VIRTIO_MMIO_CONFIG + i, (uint8_t *)&config + i, 1);
	ck_assert_uint_eq(le64toh(config.capacity), 2048);
	/* No more than a ring of ours has room for, and no queue that there is not. */
	ck_assert_uint_eq(le32toh(config.seg_max), BLK_SEGMENTS_MAX);
	ck_assert_uint_eq(le16toh(config.num_queues), 1);
	ck_assert(blk.served.dev.features_offered & FLUSH);
	ck_assert(!(blk.served.dev.features_offered & (MQ | RO | PROTOCOL)));
	ck_assert_uint_eq(blk.size, MIB);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_DEVICE_ID), 2);
}
END_TEST

START_TEST(serves_and_counts)
{
	start();
	for (unsigned int i = 0; i < 3 * SIZE; i++) {
		uint32_t type = i % 3 == 0   ? VIRTIO_BLK_T_IN
				: i % 3 == 1 ? VIRTIO_BLK_T_OUT
					     : VIRTIO_BLK_T_FLUSH;
		uint16_t head = ask(i % 64, type);
		ck_assert_uint_eq(wait_used().id, head);
		ck_assert_uint_eq(*status_of(i % 64), VIRTIO_BLK_S_OK);
	}
	wait_counted(&blk.counters[BLK_FLUSH].operations, SIZE);
	ck_assert_uint_eq(blk.counters[BLK_READ].operations, SIZE);
	ck_assert_uint_eq(blk.counters[BLK_READ].bytes, SIZE * KIB);
	ck_assert_uint_eq(blk.counters[BLK_WRITE].operations, SIZE);
	ck_assert_uint_eq(blk.counters[BLK_WRITE].bytes, SIZE * KIB);
	ck_assert_uint_eq(blk.counters[BLK_FLUSH].operations, SIZE);
	backend.status = VIRTIO_BLK_S_IOERR;
	ask(1, VIRTIO_BLK_T_OUT);
	wait_used();
	wait_counted(&blk.counters[BLK_WRITE].failed, 1);
	ck_assert_uint_eq(blk.counters[BLK_WRITE].operations, SIZE);
	ck_assert(!needs_reset());
}
END_TEST

static void *go_on_later(void *ctx)
{
	clock_sleep_ms(200);
	backend.waits = false;
	wake_ring(backend.queue[0].kick);
	return ctx;
}

/* A reset waits for what the backend still writes to, although it would say at once that it has stopped. */
START_TEST(reset_waits)
{
	start();
	backend.waits = true;
	ask(1, VIRTIO_BLK_T_IN);
	turn();
	helped = true;
	ck_assert_int_eq(pthread_create(&helper, NULL, go_on_later, NULL), 0);
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(*status_of(1), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(backend.returned, 1);
	ck_assert_uint_eq(ends, 0);
	/* And it serves on. */
	start();
	uint16_t head = ask(2, VIRTIO_BLK_T_OUT);
	ck_assert_uint_eq(wait_used().id, head);
}
END_TEST

/* One that never returns it is ended, and the reset waits for that. */
START_TEST(reset_loses_patience)
{
	backend.holds = true;
	start();
	ask(1, VIRTIO_BLK_T_IN);
	wait_taken(&backend, 1);
	blk.served.config.limit_ns = SOON_NS;
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	blk.served.config.limit_ns = LIMIT_NS;
	ck_assert_uint_eq(ends, 1);
	vhost_user_device_came(&blk.served, fake_backend_start(&second));
	start();
	uint16_t head = ask(2, VIRTIO_BLK_T_OUT);
	ck_assert_uint_eq(wait_used().id, head);
	ck_assert_uint_eq(ends, 1);
}
END_TEST

/* --- one that ends --------------------------------------------------------------------------- */

START_TEST(ends_with_requests_out)
{
	struct vring_used_elem element;

	backend.holds = true;
	start();
	for (unsigned int i = 0; i < 4; i++)
		ask(i, i % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_FLUSH);
	wait_taken(&backend, 4);
	said_begin();
	kill_it();
	ck_assert_ptr_nonnull(strstr(said_end(), "the server of disk0 is lost: it has ended"));
	for (unsigned int i = 0; i < 4; i++) {
		element = wait_used();
		/* Of the data nothing was written, so only a status that comes first counts. */
		ck_assert_uint_eq(element.len, i % 2 ? 0 : 1);
		ck_assert_uint_eq(*status_of(i), VIRTIO_BLK_S_IOERR);
	}
	/* What was written and not flushed may be lost: nothing succeeds until the driver begins anew. */
	vhost_user_device_came(&blk.served, fake_backend_start(&second));
	for (unsigned int i = 0; i < 2 * SIZE; i++) {
		ask(i, VIRTIO_BLK_T_FLUSH);
		wait_used();
		ck_assert_uint_eq(*status_of(i), VIRTIO_BLK_S_IOERR);
	}
	ck_assert(!needs_reset());
	ck_assert_uint_eq(losts, 1);
	start();
	uint16_t head = ask(1, VIRTIO_BLK_T_OUT);
	ck_assert_uint_eq(wait_used().id, head);
	ck_assert_uint_eq(*status_of(1), VIRTIO_BLK_S_OK);
	ck_assert_uint_eq(second.returned, 1);
}
END_TEST

/* It closes the connection but stays, as qemu-storage-daemon does: it is ended, so that another begins. */
START_TEST(closes_and_stays)
{
	start();
	kill_it();
	ck_assert_uint_eq(ends, 1);
}
END_TEST

/* But not the next one, which is there already. */
START_TEST(next_one_stays)
{
	start();
	vhost_user_device_came(&blk.served, fake_backend_start(&second));
	kill_it();
	ck_assert_uint_eq(ends, 0);
}
END_TEST

/* The driver knows a disk of another size. */
START_TEST(another_disk)
{
	struct virtio_blk_config other = good();

	if (_i == 0)
		other.capacity = htole64(4096);
	else
		other.blk_size = htole32(4096);
	second.config = &other;
	start();
	kill_it();
	vhost_user_device_came(&blk.served, fake_backend_start(&second));
	start();
	ask(1, VIRTIO_BLK_T_IN);
	wait_used();
	ck_assert_uint_eq(*status_of(1), VIRTIO_BLK_S_IOERR);
	ck_assert_uint_eq(second.returned, 0);
}
END_TEST

/* --- one that lies --------------------------------------------------------------------------- */

static const struct {
	uint64_t capacity;
	uint32_t blk_size, seg_max;
} wrong[] = {
	{0, 512, 126},	       {UINT64_MAX, 512, 126}, {INT64_MAX / 512 + 1, 512, 126},
	{2048, 0, 126},	       {2048, 511, 126},       {2048, 768, 126},
	{2048, 1U << 31, 126}, {2048, 256, 126},       {2048, 512, 0},
};

START_TEST(wrong_configuration)
{
	prepare();
	space.capacity = htole64(wrong[_i].capacity);
	space.blk_size = htole32(wrong[_i].blk_size);
	space.seg_max = htole32(wrong[_i].seg_max);
	ck_assert_int_eq(begin(LIMIT_NS, false), -EPROTO);
	teardown();
}
END_TEST

START_TEST(lies_about_the_configuration)
{
	prepare();
	backend.lie = (enum lie)_i;
	backend.lies_at = VHOST_USER_GET_CONFIG;
	int error = begin(backend.lie == WITH_FDS ? LIMIT_NS : SOON_NS, false);
	if (backend.lie == WITH_FDS)
		ck_assert_int_eq(error, 0);
	else
		ck_assert_int_lt(error, 0);
	teardown();
}
END_TEST

/* A disk that is to be read-only, or not, and says otherwise; and one without a configuration. */
START_TEST(wrong_features)
{
	prepare();
	if (_i == 0)
		backend.features |= RO;
	if (_i == 2)
		backend.protocol = ACK;
	ck_assert_int_lt(begin(LIMIT_NS, _i == 1), 0);
	teardown();
}
END_TEST

START_TEST(returns_nonsense)
{
	backend.bad_used = true;
	start();
	ask(1, VIRTIO_BLK_T_IN);
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (!needs_reset()) {
		turn();
		ck_assert_uint_lt(clock_ns(), deadline);
	}
	ck_assert_uint_eq(ends, 1);
}
END_TEST

/* --- a driver that lies ---------------------------------------------------------------------- */

/* The backend is the judge of a chain; counting one, or refusing it, harms nobody. */
START_TEST(hostile_chains)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags, next;
	} table[] = {
		{BLOCKS_GPA, 16, 0, 0},
		{BLOCKS_GPA, 16, VRING_DESC_F_WRITE, 0},
		{LOW_END - 8, 16, VRING_DESC_F_WRITE, 0},
		{UINT64_MAX - 8, 16, 0, 0},
		{BLOCKS_GPA, 0, VRING_DESC_F_WRITE, 0},
	};
	struct vring_used_elem element;

	kill_it();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		start();
		struct fake_queue *ring = &guest.queue[0];
		fake_queue_desc(ring, 0, table[i].gpa, table[i].len, table[i].flags, table[i].next);
		fake_queue_publish(ring, 0);
		fake_driver_kick(&guest, 0);
		fake_driver_work(&guest);
		ck_assert(fake_queue_used(ring, &element));
		ck_assert_uint_eq(element.len, 0);
	}
}
END_TEST

/* Chains of noise, which a backend takes and does not look at. */
START_TEST(hostile_counting)
{
	backend.holds = true;
	start();
	srand(1);
	for (unsigned int i = 0; i < 2000; i++) {
		struct fake_queue *ring = &guest.queue[0];
		unsigned int at = (unsigned int)rand() % SIZE;
		fake_queue_desc(ring, at, rand() % 2 ? BLOCKS_GPA : LOW_END - 8,
				(uint32_t)rand() % 64, (uint16_t)rand() % 8,
				(uint16_t)rand() % SIZE);
		fake_queue_publish(ring, (uint16_t)at);
		fake_driver_kick(&guest, 0);
	}
	ck_assert_uint_eq(blk.counters[BLK_READ].failed, 0);
}
END_TEST

Suite *blk_served_suite(void);
Suite *blk_served_suite(void)
{
	Suite *suite = suite_create("blk served");
	TCase *tc = tcase_create("blk served");
	TCase *first = tcase_create("the first answer");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, configuration);
	tcase_add_test(tc, serves_and_counts);
	tcase_add_test(tc, reset_waits);
	tcase_add_test(tc, reset_loses_patience);
	tcase_add_test(tc, ends_with_requests_out);
	tcase_add_test(tc, closes_and_stays);
	tcase_add_test(tc, next_one_stays);
	tcase_add_loop_test(tc, another_disk, 0, 2);
	tcase_add_test(tc, returns_nonsense);
	tcase_add_test(tc, hostile_chains);
	tcase_add_test(tc, hostile_counting);
	suite_add_tcase(suite, tc);

	tcase_add_loop_test(first, wrong_configuration, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_loop_test(first, lies_about_the_configuration, SILENT, WITH_FDS + 1);
	tcase_add_loop_test(first, wrong_features, 0, 3);
	suite_add_tcase(suite, first);
	return suite;
}
