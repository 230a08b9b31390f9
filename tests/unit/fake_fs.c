// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_fs.h"

#include <check.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <string.h>

struct fake_driver ff_guest;
struct fs ff;
struct fake_backend ff_backend, ff_second;
unsigned int ff_founds, ff_losts, ff_ends;
static pthread_t killer;
atomic_bool ff_killed;

static void found(void *ctx, int socket)
{
	(void)ctx;
	ck_assert_int_ge(socket, 0);
	ff_founds++;
}

static void lost(void *ctx)
{
	(void)ctx;
	ff_losts++;
}

static void *kill_later(void *ctx)
{
	clock_sleep_ms(300); /* longer than both queues have patience with it */
	atomic_store(&ff_killed, true);
	fake_backend_kill(&ff_backend);
	return ctx;
}

/* The keeper kills it, from another process: that takes a moment. */
static void end(void *ctx)
{
	(void)ctx;
	if (ff_ends++ == 0)
		ck_assert_int_eq(pthread_create(&killer, NULL, kill_later, NULL), 0);
}

static void prepare(uint64_t limit_ns)
{
	const struct vhost_user_config config = {
		.found = found, .lost = lost, .end = end, .limit_ns = limit_ns};

	fake_driver_init_shared(&ff_guest);
	ff_backend = (struct fake_backend){.features = V1 | PROTOCOL, .protocol = ACK};
	ff_second = ff_backend;
	ff_founds = ff_losts = ff_ends = 0;
	ff_killed = false;
	ck_assert_int_eq(fs_init(&ff, "docs", &config, &ff_guest.host), 0);
}

void ff_begin(uint64_t limit_ns)
{
	prepare(limit_ns);
	int fd = fake_backend_start(&ff_backend);
	ck_assert_int_eq(vhost_user_device_open(&ff.served, fd, clock_ns() + LIMIT_NS), 0);
	fake_driver_plug(&ff_guest, &ff.served.dev);
}

/* None has come yet. */
void ff_setup_awaited(void)
{
	prepare(LIMIT_NS);
	vhost_user_device_await(&ff.served);
	fake_driver_plug(&ff_guest, &ff.served.dev);
}

void ff_teardown(void)
{
	fs_release(&ff);
	if (ff_ends)
		pthread_join(killer, NULL);
	fake_backend_kill(&ff_backend);
	fake_backend_kill(&ff_second);
	fake_driver_release(&ff_guest);
}

/* --- the driver ------------------------------------------------------------------------------ */

/* Request @unique: a header, and room for an answer in two pieces. */
uint16_t ff_ask(unsigned int queue, uint32_t opcode, uint64_t unique)
{
	uint64_t gpa = BLOCKS_GPA + unique % 64 * 4 * KIB;
	const struct gpa_range buffer[] = {
		{gpa, sizeof(struct fuse_in_header)}, {gpa + 2 * KIB, 8}, {gpa + 3 * KIB, 256}};
	*(struct fuse_in_header *)fake_driver_at(&ff_guest, gpa, 4 * KIB) = (struct fuse_in_header){
		.len = sizeof(struct fuse_in_header), .opcode = opcode, .unique = unique};
	uint16_t head = fake_queue_add(&ff_guest.queue[queue], buffer, 3, 1);
	fake_driver_kick(&ff_guest, queue);
	return head;
}

void ff_ask_and_spoil(int way)
{
	uint16_t head = ff_ask(FS_REQUESTS, READ, 1);

	if (way == 0)
		fake_queue_publish(&ff_guest.queue[FS_REQUESTS], head);
	else
		ff_guest.queue[FS_REQUESTS].avail->idx += way == 1 ? SIZE : 1000;
}

struct fuse_out_header ff_answer_to(uint64_t unique)
{
	uint64_t gpa = BLOCKS_GPA + unique % 64 * 4 * KIB;
	struct fuse_out_header out;

	memcpy(&out, fake_driver_at(&ff_guest, gpa + 2 * KIB, 8), 8);
	memcpy((uint8_t *)&out + 8, fake_driver_at(&ff_guest, gpa + 3 * KIB, 8), 8);
	return out;
}

/* The worker's loop until a chain of @queue is returned. */
struct vring_used_elem ff_wait_used(unsigned int queue)
{
	struct vring_used_elem element = {0};
	uint64_t deadline = clock_ns() + LIMIT_NS;

	for (;;) {
		for (unsigned int i = 0; i < FS_QUEUES; i++)
			vhost_user_device_called(&ff.served, i);
		fake_driver_work(&ff_guest);
		if (fake_queue_used(&ff_guest.queue[queue], &element))
			return element;
		ck_assert_uint_lt(clock_ns(), deadline);
		clock_sleep_ms(1);
	}
}

void ff_wait_taken(const struct fake_backend *by, unsigned int n)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (atomic_load(&by->taken) < n) {
		ck_assert_uint_lt(clock_ns(), deadline);
		clock_sleep_ms(1);
	}
}

/* A backend rings after a chain has come back. */
void ff_wait_interrupt(unsigned int before)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (ff_guest.interrupts == before) {
		for (unsigned int i = 0; i < FS_QUEUES; i++)
			vhost_user_device_called(&ff.served, i);
		fake_driver_work(&ff_guest);
		ck_assert_uint_lt(clock_ns(), deadline);
		clock_sleep_ms(1);
	}
}

bool ff_needs_reset(void)
{
	return fake_driver_get(&ff_guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

void ff_start(void)
{
	fake_driver_start(&ff_guest, V1, FS_QUEUES, SIZE);
}

void ff_refused(uint64_t unique, uint32_t len)
{
	struct fuse_out_header out = ff_answer_to(unique);
	ck_assert_uint_eq(len, sizeof(out));
	ck_assert_uint_eq(out.len, sizeof(out));
	ck_assert_int_eq(out.error, -ENOTCONN);
	ck_assert_uint_eq(out.unique, unique);
}

/* The backend's process is gone, and the machine says so. */
void ff_kill_backend(void)
{
	fake_backend_kill(&ff_backend);
	vhost_user_device_stirs(&ff.served);
	fake_driver_work(&ff_guest);
}
