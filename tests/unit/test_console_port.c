// SPDX-License-Identifier: Apache-2.0
/* Programs of the host at a named port, which leave more than the device holds; a guest's driver at the other end. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_vcon.h"
#include "vmm/machine/console_port.h"

#define MUCH (5 * VCON_INPUT)

static struct loop loop;
static struct console_port port;
static char data[MUCH + VC_BUFFER];

static ssize_t transmit(void *ctx, unsigned int number, const uint8_t *bytes, size_t len)
{
	(void)ctx, (void)number;
	return console_port_transmit(&port, bytes, len);
}

static void receive_ready(void *ctx, unsigned int number)
{
	(void)ctx, (void)number;
	console_port_resume(&port);
}

static const struct vcon_host host = {NULL, transmit, receive_ready};

static void setup(void)
{
	vc_setup();
	vcon.host = &host;
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(console_port_init(&port, &vcon, 1, &loop), 0);
	vc_introduce();
}

static void teardown(void)
{
	console_port_release(&port);
	loop_release(&loop);
	vc_teardown();
}

static void rounds(void)
{
	for (int i = 0; i < 20; i++) {
		loop_turn(&loop, 0);
		fake_driver_work(&vc_guest);
	}
}

/* A program comes, and is told @expected. Returns its end. */
static int attach(int expected)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(console_port_attach(&port, pair[1]), expected);
	if (expected)
		close(pair[1]);
	rounds();
	return pair[0];
}

/* The guest reads up to @most bytes. Returns how many there were. */
static size_t guest_reads(size_t most)
{
	size_t got = 0;
	for (int len = 1; got < most && len > 0;) {
		vc_give(VC_RX(1), 1000);
		rounds();
		len = vc_take(VC_RX(1), data + got);
		got += len > 0 ? (size_t)len : 0;
	}
	return got;
}

static void write_much(int fd)
{
	static char all[MUCH];
	for (size_t i = 0; i < MUCH; i++)
		all[i] = (char)(i * 7 + i / 256);
	ck_assert_int_eq(send(fd, all, MUCH, MSG_DONTWAIT), MUCH);
	rounds();
}

START_TEST(what_it_leaves_behind_is_read)
{
	int fd = attach(0);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	write_much(fd);
	close(attach(-EBUSY));
	close(fd);
	rounds();
	vc_told_nothing();
	/* The guest writes: nobody hears it, and the rest is still there. */
	ck_assert(vc_send(VC_TX(1), "lost", 4));
	ck_assert_uint_eq(guest_reads(MUCH), MUCH);
	for (size_t i = 0; i < MUCH; i++)
		ck_assert_int_eq(data[i], (char)(i * 7 + i / 256));
	rounds();
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
}
END_TEST

START_TEST(the_next_one_ends_that)
{
	int fd = attach(0);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	write_much(fd);
	close(fd);
	rounds();
	ck_assert_uint_ge(guest_reads(1), 1);
	fd = attach(0);
	ck_assert_int_eq(send(fd, "next", 4, MSG_DONTWAIT), 4);
	rounds();
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 1, "", 0);
	rounds();
	ck_assert_uint_eq(guest_reads(4), 4);
	ck_assert_mem_eq(data, "next", 4);
	ck_assert(vc_send(VC_TX(1), "back", 4));
	ck_assert_int_eq(recv(fd, data, sizeof(data), MSG_DONTWAIT), 4);
	/* There is one at a time, as before. */
	close(attach(-EBUSY));
	close(fd);
	rounds();
	vc_told(1, VIRTIO_CONSOLE_PORT_OPEN, 0, "", 0);
	close(attach(0));
}
END_TEST

Suite *console_port_suite(void);
Suite *console_port_suite(void)
{
	Suite *suite = suite_create("console_port");
	TCase *test = tcase_create("console_port");

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_add_test(test, what_it_leaves_behind_is_read);
	tcase_add_test(test, the_next_one_ends_that);
	suite_add_tcase(suite, test);
	return suite;
}
