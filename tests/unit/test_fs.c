// SPDX-License-Identifier: Apache-2.0
/* The file system device: with a backend that serves, one that ends, one that hangs and one that lies. */
#include <check.h>
#include <errno.h>
#include <linux/fuse.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio-fs/fs.h"
#include "tests/unit/fake_backend.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/said.h"
#include "vmm/lib/clock.h"

#define V1	 (1ULL << VIRTIO_F_VERSION_1)
#define PROTOCOL (1ULL << VHOST_USER_F_PROTOCOL_FEATURES)
#define ACK	 (1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK)
#define SIZE	 16
#define READ	 15 /* FUSE_READ */
/* Long enough for a thread of a busy machine; and for what is to run out. */
#define LIMIT_NS (60 * NS_PER_S)
#define SOON_NS	 (100 * NS_PER_MS)

static struct fake_driver guest;
static struct fs fs;
static struct fake_backend backend, second;
static unsigned int founds, losts, ends;
static pthread_t killer;
static atomic_bool killed;

static void found(void *ctx, int socket)
{
	(void)ctx;
	ck_assert_int_ge(socket, 0);
	founds++;
}

static void lost(void *ctx)
{
	(void)ctx;
	losts++;
}

static void *kill_later(void *ctx)
{
	clock_sleep_ms(300); /* longer than both queues have patience with it */
	atomic_store(&killed, true);
	fake_backend_kill(&backend);
	return ctx;
}

/* The keeper kills it, from another process: that takes a moment. */
static void end(void *ctx)
{
	(void)ctx;
	if (ends++ == 0)
		ck_assert_int_eq(pthread_create(&killer, NULL, kill_later, NULL), 0);
}

static void prepare(uint64_t limit_ns)
{
	const struct vhost_user_config config = {
		.found = found, .lost = lost, .end = end, .limit_ns = limit_ns};

	fake_driver_init_shared(&guest);
	backend = (struct fake_backend){.features = V1 | PROTOCOL, .protocol = ACK};
	second = backend;
	founds = losts = ends = 0;
	killed = false;
	ck_assert_int_eq(fs_init(&fs, "docs", &config, &guest.host), 0);
}

static void begin(uint64_t limit_ns)
{
	prepare(limit_ns);
	int fd = fake_backend_start(&backend);
	ck_assert_int_eq(vhost_user_device_open(&fs.served, fd, clock_ns() + LIMIT_NS), 0);
	fake_driver_plug(&guest, &fs.served.dev);
}

static void setup(void)
{
	begin(LIMIT_NS);
}

static void setup_impatient(void)
{
	begin(SOON_NS);
}

/* None has come yet. */
static void setup_awaited(void)
{
	prepare(LIMIT_NS);
	vhost_user_device_await(&fs.served);
	fake_driver_plug(&guest, &fs.served.dev);
}

static void teardown(void)
{
	fs_release(&fs);
	if (ends)
		pthread_join(killer, NULL);
	fake_backend_kill(&backend);
	fake_backend_kill(&second);
	fake_driver_release(&guest);
}

/* --- the driver ------------------------------------------------------------------------------ */

/* Request @unique: a header, and room for an answer in two pieces. */
static uint16_t ask(unsigned int queue, uint32_t opcode, uint64_t unique)
{
	uint64_t gpa = BLOCKS_GPA + unique % 64 * 4 * KIB;
	const struct gpa_range buffer[] = {
		{gpa, sizeof(struct fuse_in_header)}, {gpa + 2 * KIB, 8}, {gpa + 3 * KIB, 256}};
	*(struct fuse_in_header *)fake_driver_at(&guest, gpa, 4 * KIB) = (struct fuse_in_header){
		.len = sizeof(struct fuse_in_header), .opcode = opcode, .unique = unique};
	uint16_t head = fake_queue_add(&guest.queue[queue], buffer, 3, 1);
	fake_driver_kick(&guest, queue);
	return head;
}

static struct fuse_out_header answer_to(uint64_t unique)
{
	uint64_t gpa = BLOCKS_GPA + unique % 64 * 4 * KIB;
	struct fuse_out_header out;

	memcpy(&out, fake_driver_at(&guest, gpa + 2 * KIB, 8), 8);
	memcpy((uint8_t *)&out + 8, fake_driver_at(&guest, gpa + 3 * KIB, 8), 8);
	return out;
}

/* The worker's loop until a chain of @queue is returned. */
static struct vring_used_elem wait_used(unsigned int queue)
{
	struct vring_used_elem element = {0};
	uint64_t deadline = clock_ns() + LIMIT_NS;

	for (;;) {
		for (unsigned int i = 0; i < FS_QUEUES; i++)
			vhost_user_device_called(&fs.served, i);
		fake_driver_work(&guest);
		if (fake_queue_used(&guest.queue[queue], &element))
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

/* A backend rings after a chain has come back. */
static void wait_interrupt(unsigned int before)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (guest.interrupts == before) {
		for (unsigned int i = 0; i < FS_QUEUES; i++)
			vhost_user_device_called(&fs.served, i);
		fake_driver_work(&guest);
		ck_assert_uint_lt(clock_ns(), deadline);
		clock_sleep_ms(1);
	}
}

static bool needs_reset(void)
{
	return fake_driver_get(&guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void start(void)
{
	fake_driver_start(&guest, V1, FS_QUEUES, SIZE);
}

static void refused(uint64_t unique, uint32_t len)
{
	struct fuse_out_header out = answer_to(unique);
	ck_assert_uint_eq(len, sizeof(out));
	ck_assert_uint_eq(out.len, sizeof(out));
	ck_assert_int_eq(out.error, -ENOTCONN);
	ck_assert_uint_eq(out.unique, unique);
}

/* The backend's process is gone, and the machine says so. */
static void kill_it(void)
{
	fake_backend_kill(&backend);
	vhost_user_device_stirs(&fs.served);
	fake_driver_work(&guest);
}

/* --- a backend that serves ------------------------------------------------------------------- */

START_TEST(configuration)
{
	struct virtio_fs_config config;

	for (unsigned int i = 0; i < sizeof(config); i++)
		virtio_mmio_read(&guest.mmio, VIRTIO_MMIO_CONFIG + i, (uint8_t *)&config + i, 1);
	ck_assert_str_eq((char *)config.tag, "docs");
	ck_assert_uint_eq(config.num_request_queues, 1);
	ck_assert_uint_eq(fake_driver_get(&guest, VIRTIO_MMIO_DEVICE_ID), 26);
}
END_TEST

START_TEST(serves)
{
	start();
	for (unsigned int i = 1; i <= 3 * SIZE; i++) {
		unsigned int queue = i % 3 ? FS_REQUESTS : FS_HIGH_PRIORITY;
		unsigned int before = guest.interrupts;
		uint16_t head = ask(queue, READ, i);
		struct vring_used_elem element = wait_used(queue);
		ck_assert_uint_eq(element.id, head);
		wait_interrupt(before);
	}
	ck_assert_uint_eq(backend.returned, 3 * SIZE);
	ck_assert(!needs_reset());
	ck_assert_uint_eq(losts, 0);
}
END_TEST

START_TEST(no_interrupt_wanted)
{
	start();
	guest.queue[FS_REQUESTS].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	unsigned int before = guest.interrupts;
	ask(FS_REQUESTS, READ, 1);
	wait_used(FS_REQUESTS);
	ck_assert_uint_eq(guest.interrupts, before);
}
END_TEST

START_TEST(again_after_a_reset)
{
	for (unsigned int i = 1; i <= 3; i++) {
		start();
		uint16_t head = ask(FS_REQUESTS, READ, i);
		ck_assert_uint_eq(wait_used(FS_REQUESTS).id, head);
	}
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(founds, 1);
	ck_assert_uint_eq(losts, 0);
}
END_TEST

/* What the driver added before DRIVER_OK, without a notification after it. */
START_TEST(early_request)
{
	fake_driver_negotiate(&guest, V1);
	fake_driver_queue(&guest, 0, SIZE);
	fake_driver_queue(&guest, 1, SIZE);
	uint16_t head = ask(FS_REQUESTS, READ, 1);
	fake_driver_ok(&guest);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).id, head);
}
END_TEST

/* --- one that ends --------------------------------------------------------------------------- */

START_TEST(ends_with_chains_out)
{
	backend.holds = true;
	start();
	for (unsigned int i = 1; i <= 4; i++)
		ask(i == 4 ? FS_HIGH_PRIORITY : FS_REQUESTS, READ, i);
	wait_taken(&backend, 4);
	said_begin();
	kill_it();
	ck_assert_ptr_nonnull(strstr(said_end(), "folder \"docs\" is lost: it has ended"));
	for (unsigned int i = 1; i <= 3; i++)
		refused(i, wait_used(FS_REQUESTS).len);
	refused(4, wait_used(FS_HIGH_PRIORITY).len);
	/* And whatever comes after. */
	for (unsigned int i = 5; i <= 5 + 2 * SIZE; i++) {
		ask(FS_REQUESTS, READ, i);
		refused(i, wait_used(FS_REQUESTS).len);
	}
	ck_assert(!needs_reset());
	ck_assert_uint_eq(losts, 1);
	ck_assert_uint_eq(ends, 0); /* what would be ended is the next one */
}
END_TEST

/* Those that were served meanwhile are not answered twice. */
START_TEST(ends_with_some_out)
{
	start();
	uint16_t served = ask(FS_REQUESTS, READ, 1);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).id, served);
	backend.holds = true;
	ask(FS_REQUESTS, READ, 2);
	wait_taken(&backend, 2);
	kill_it();
	refused(2, wait_used(FS_REQUESTS).len);
	struct vring_used_elem element;
	ck_assert(!fake_queue_used(&guest.queue[FS_REQUESTS], &element));
	ck_assert_int_eq(answer_to(1).error, 0);
}
END_TEST

START_TEST(next_one_serves_a_new_mount)
{
	start();
	kill_it();
	ask(FS_REQUESTS, FUSE_INIT, 1);
	refused(1, wait_used(FS_REQUESTS).len);
	vhost_user_device_came(&fs.served, fake_backend_start(&second));
	/* Files of the old mount are not the new one's. */
	ask(FS_REQUESTS, READ, 2);
	refused(2, wait_used(FS_REQUESTS).len);
	uint16_t head = ask(FS_REQUESTS, FUSE_INIT, 3);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).id, head);
	ck_assert_int_eq(answer_to(3).error, 0);
	ask(FS_HIGH_PRIORITY, READ, 4);
	wait_used(FS_HIGH_PRIORITY);
	ck_assert_uint_eq(second.returned, 2);
	ck_assert_uint_eq(founds, 2);
	ck_assert(!needs_reset());
}
END_TEST

START_TEST(next_one_serves_after_a_reset)
{
	start();
	kill_it();
	vhost_user_device_came(&fs.served, fake_backend_start(&second));
	start();
	uint16_t head = ask(FS_REQUESTS, READ, 1);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).id, head);
	ck_assert_uint_eq(second.returned, 1);
}
END_TEST

/* It ends before there is a driver, and nothing follows. */
START_TEST(ended_before)
{
	fake_backend_kill(&backend);
	vhost_user_device_stirs(&fs.served);
	start();
	ask(FS_REQUESTS, READ, 1);
	refused(1, wait_used(FS_REQUESTS).len);
	ck_assert(!needs_reset());
}
END_TEST

/* --- one that hangs or lies ------------------------------------------------------------------ */

/* At each request of a start: the device goes on without it, in time. */
START_TEST(lies_at_the_start)
{
	static const uint32_t at[] = {2, 5, 8, 10, 9, 13, 12, 18};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		fake_backend_kill(&second);
		second = (struct fake_backend){.features = V1 | PROTOCOL,
					       .protocol = ACK,
					       .lie = (enum lie)_i,
					       .lies_at = at[i]};
		vhost_user_device_came(&fs.served, fake_backend_start(&second));
		start();
		ask(FS_REQUESTS, READ, 1);
		refused(1, wait_used(FS_REQUESTS).len);
		fake_backend_kill(&second);
		ck_assert(!needs_reset());
	}
}
END_TEST

START_TEST(does_not_stop)
{
	backend.lie = SILENT;
	backend.lies_at = VHOST_USER_GET_VRING_BASE;
	start();
	ask(FS_REQUESTS, READ, 1);
	wait_used(FS_REQUESTS);
	/* A reset waits until it is dead, since the driver uses the memory again then. */
	fs.served.config.limit_ns = SOON_NS;
	fake_driver_set(&guest, VIRTIO_MMIO_STATUS, 0);
	fs.served.config.limit_ns = LIMIT_NS;
	ck_assert_uint_eq(ends, 1);
	ck_assert(atomic_load(&killed));
	vhost_user_device_came(&fs.served, fake_backend_start(&second));
	start();
	uint16_t head = ask(FS_REQUESTS, READ, 2);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).id, head);
	ck_assert_uint_eq(ends, 1);
}
END_TEST

START_TEST(returns_nonsense)
{
	backend.bad_used = true;
	start();
	ask(FS_REQUESTS, READ, 1);
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (!needs_reset()) {
		for (unsigned int i = 0; i < FS_QUEUES; i++)
			vhost_user_device_called(&fs.served, i);
		fake_driver_work(&guest);
		ck_assert_uint_lt(clock_ns(), deadline);
	}
	ck_assert_uint_eq(ends, 1);
	/* This device alone, and only until it is reset. */
	vhost_user_device_came(&fs.served, fake_backend_start(&second));
	start();
	uint16_t head = ask(FS_REQUESTS, READ, 2);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).id, head);
}
END_TEST

START_TEST(speaks_unasked)
{
	start();
	ck_assert_int_eq(write(backend.socket, "x", 1), 1);
	vhost_user_device_stirs(&fs.served);
	ask(FS_REQUESTS, READ, 1);
	wait_used(FS_REQUESTS);
	ck_assert_uint_eq(ends, 1);
	ck_assert(!needs_reset());
}
END_TEST

/* --- a driver that breaks the rules, with nobody else to judge it ---------------------------- */

START_TEST(hostile_chains)
{
	static const struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags, next;
		bool stops;
	} table[] = {
		{BLOCKS_GPA, 64, VRING_DESC_F_NEXT, 0, true},	  /* a loop */
		{BLOCKS_GPA, 64, VRING_DESC_F_NEXT, SIZE, true},  /* no such descriptor */
		{BLOCKS_GPA, 16, VRING_DESC_F_INDIRECT, 0, true}, /* not negotiated */
		{BLOCKS_GPA, 8, 0, 0, false},			  /* no whole header */
		{BLOCKS_GPA, 64, 0, 0, false},			  /* no room for an answer */
		{BLOCKS_GPA, 64, VRING_DESC_F_WRITE, 0, false},	  /* no header */
		{LOW_END - 16, 64, 0, 0, false},		  /* not all RAM */
		{UINT64_MAX - 16, 64, 0, 0, false},		  /* wraps */
	};
	struct vring_used_elem element;

	kill_it();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		start();
		struct fake_queue *ring = &guest.queue[FS_REQUESTS];
		fake_queue_desc(ring, 0, table[i].gpa, table[i].len, table[i].flags, table[i].next);
		fake_queue_publish(ring, 0);
		fake_driver_kick(&guest, FS_REQUESTS);
		ck_assert_int_eq(needs_reset(), table[i].stops);
		if (!table[i].stops) {
			ck_assert(fake_queue_used(ring, &element));
			ck_assert_uint_eq(element.len, 0);
		}
	}
}
END_TEST

/* The answer's room is not RAM. */
START_TEST(hostile_answer)
{
	struct vring_used_elem element;

	kill_it();
	start();
	const struct gpa_range buffer[] = {{BLOCKS_GPA, 64}, {LOW_END - 8, 64}};
	fake_queue_add(&guest.queue[FS_REQUESTS], buffer, 2, 1);
	fake_driver_kick(&guest, FS_REQUESTS);
	ck_assert(fake_queue_used(&guest.queue[FS_REQUESTS], &element));
	ck_assert_uint_eq(element.len, 0);
}
END_TEST

/* A head twice, or an index that jumps: it cannot be told what is out, and the driver begins again. */
START_TEST(hostile_rings)
{
	backend.holds = true;
	start();
	uint16_t head = ask(FS_REQUESTS, READ, 1);
	if (_i == 0)
		fake_queue_publish(&guest.queue[FS_REQUESTS], head);
	else
		guest.queue[FS_REQUESTS].avail->idx += _i == 1 ? SIZE : 1000;
	/* It takes what it is given; and is lost before the device looks again. */
	fake_backend_kill(&backend);
	fake_driver_kick(&guest, FS_REQUESTS);
	vhost_user_device_stirs(&fs.served);
	fake_driver_work(&guest);
	ck_assert(needs_reset());
	start();
	ck_assert(!needs_reset());
}
END_TEST

/* --- one that comes later -------------------------------------------------------------------- */

static void come(struct fake_backend *one)
{
	vhost_user_device_came(&fs.served, fake_backend_start(one));
	vhost_user_device_stirs(&fs.served);
}

/* What the driver asks waits, also when it begins again meanwhile; and it is not refused, as it is once there was a backend. */
START_TEST(waits_for_the_first)
{
	struct vring_used_elem element;

	for (unsigned int i = 0; i <= (unsigned int)_i; i++)
		start();
	said_begin();
	uint16_t head = ask(FS_REQUESTS, FUSE_INIT, 1);
	for (unsigned int i = 0; i < 10; i++)
		fake_driver_work(&guest);
	ck_assert(!fake_queue_used(&guest.queue[FS_REQUESTS], &element));
	ck_assert_str_eq(said_end(), "");
	come(&backend);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).id, head);
	ck_assert_uint_eq(founds, 1);
	kill_it();
	ask(FS_REQUESTS, READ, 2);
	refused(2, wait_used(FS_REQUESTS).len);
}
END_TEST

/* It was offered what every backend has. One that has not is lost, and the next mount is for another. */
START_TEST(first_one_lacks_a_feature)
{
	fake_driver_start(&guest, V1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC, FS_QUEUES, SIZE);
	ask(FS_REQUESTS, FUSE_INIT, 1);
	said_begin();
	come(&backend);
	refused(1, wait_used(FS_REQUESTS).len);
	ck_assert_ptr_nonnull(strstr(said_end(), "is lost: it lacks a feature"));
	second.features |= 1ULL << VIRTIO_RING_F_INDIRECT_DESC;
	come(&second);
	ask(FS_REQUESTS, FUSE_INIT, 2);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).len, sizeof(struct fuse_out_header));
	ck_assert_int_eq(answer_to(2).error, 0);
}
END_TEST

/* What waits is refused, as once a backend was lost; the control is what waits for the first. */
START_TEST(none_comes)
{
	start();
	ask(FS_REQUESTS, FUSE_INIT, 1);
	fake_driver_work(&guest);
	said_begin();
	vhost_user_device_give_up(&fs.served);
	refused(1, wait_used(FS_REQUESTS).len);
	said_end();
}
END_TEST

/* A head twice, or an index that jumps, while there is no backend: the first that comes may be lost by it, the next is not. */
START_TEST(hostile_rings_while_awaited)
{
	start();
	uint16_t head = ask(FS_REQUESTS, READ, 1);
	if (_i == 0)
		fake_queue_publish(&guest.queue[FS_REQUESTS], head);
	else
		guest.queue[FS_REQUESTS].avail->idx += _i == 1 ? SIZE : 1000;
	fake_driver_kick(&guest, FS_REQUESTS);
	fake_driver_work(&guest);
	said_begin();
	come(&backend);
	fake_driver_work(&guest);
	kill_it();
	fake_driver_work(&guest);
	start();
	come(&second);
	ask(FS_REQUESTS, FUSE_INIT, 2);
	ck_assert_uint_eq(wait_used(FS_REQUESTS).len, sizeof(struct fuse_out_header));
	ck_assert_int_eq(answer_to(2).error, 0);
	said_end();
}
END_TEST

Suite *fs_suite(void);
Suite *fs_suite(void)
{
	Suite *suite = suite_create("fs");
	TCase *tc = tcase_create("fs");
	TCase *awaited = tcase_create("awaited");
	TCase *impatient = tcase_create("impatient");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, configuration);
	tcase_add_test(tc, serves);
	tcase_add_test(tc, no_interrupt_wanted);
	tcase_add_test(tc, again_after_a_reset);
	tcase_add_test(tc, early_request);
	tcase_add_test(tc, ends_with_chains_out);
	tcase_add_test(tc, ends_with_some_out);
	tcase_add_test(tc, next_one_serves_a_new_mount);
	tcase_add_test(tc, next_one_serves_after_a_reset);
	tcase_add_test(tc, ended_before);
	tcase_add_test(tc, does_not_stop);
	tcase_add_test(tc, returns_nonsense);
	tcase_add_test(tc, speaks_unasked);
	tcase_add_test(tc, hostile_chains);
	tcase_add_test(tc, hostile_answer);
	tcase_add_loop_test(tc, hostile_rings, 0, 3);
	suite_add_tcase(suite, tc);

	tcase_add_checked_fixture(awaited, setup_awaited, teardown);
	tcase_add_loop_test(awaited, waits_for_the_first, 0, 2);
	tcase_add_test(awaited, first_one_lacks_a_feature);
	tcase_add_test(awaited, none_comes);
	tcase_add_loop_test(awaited, hostile_rings_while_awaited, 0, 3);
	suite_add_tcase(suite, awaited);

	tcase_add_checked_fixture(impatient, setup_impatient, teardown);
	tcase_add_loop_test(impatient, lies_at_the_start, SILENT, REFUSES + 1);
	suite_add_tcase(suite, impatient);
	return suite;
}
