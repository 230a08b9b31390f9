// SPDX-License-Identifier: Apache-2.0
/* Bytes of an image from a server that speaks NBD. It may say anything; here it has said it all before it is asked. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/bootdisk/source.h"

static int ends[2]; /* ours, the server's */
static struct source source;

static void set_up(void)
{
	ck_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
}

static void tear_down(void)
{
	source_release(&source);
	close(ends[0]);
	close(ends[1]);
}

static void say(const void *what, size_t size)
{
	ck_assert(write(ends[1], what, size) == (ssize_t)size);
}

static void say64(uint64_t n)
{
	n = htobe64(n);
	say(&n, sizeof(n));
}

static void say32(uint32_t n)
{
	n = htobe32(n);
	say(&n, sizeof(n));
}

static void say16(uint16_t n)
{
	n = htobe16(n);
	say(&n, sizeof(n));
}

/* It says no more after this. */
static void end(void)
{
	shutdown(ends[1], SHUT_WR);
}

/* "NBDMAGIC", "IHAVEOPT", and the flags of a newstyle server without padding. */
static void greet(uint64_t size)
{
	say("NBDMAGICIHAVEOPT", 16);
	say16(3);
	say64(size);
	say16(3);
}

static void answer(uint32_t error)
{
	say32(0x67446698);
	say32(error);
	say64(0);
}

START_TEST(test_reads)
{
	char data[SOURCE_AHEAD / 64], got[8];

	greet(sizeof(data));
	answer(0);
	memset(data, 'a', sizeof(data));
	memcpy(data + 100, "here", 4);
	memcpy(data + sizeof(data) - 3, "end", 3);
	say(data, sizeof(data));
	ck_assert_int_eq(source_connect(&source, ends[0]), 0);
	ck_assert_uint_eq(source.size, sizeof(data));
	ck_assert_int_eq(source_read(&source, 100, got, 5), 0);
	ck_assert(memcmp(got, "herea", 5) == 0);
	/* What was read once is not asked for again: it has no further answer. */
	end();
	ck_assert_int_eq(source_read(&source, sizeof(data) - 3, got, 3), 0);
	ck_assert(memcmp(got, "end", 3) == 0);
	ck_assert_int_eq(source_read(&source, sizeof(data) - 3, got, 4), -EIO);
	ck_assert_int_eq(source_read(&source, UINT64_MAX, got, 4), -EIO);
}
END_TEST

/* The request that is sent, byte by byte: proto.md. */
START_TEST(test_asks)
{
	static const uint8_t choice[] = {0,   0,   0, 3, 'I', 'H', 'A', 'V', 'E', 'O',
					 'P', 'T', 0, 0, 0,   1,   0,	0,   0,	  0};
	static const uint8_t request[] = {0x25, 0x60, 0x95, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
					  0,	0,    0,    0,	  0, 0, 0, 4, 0, 0, 0, 0, 0, 100};
	uint8_t got[sizeof(choice) + sizeof(request)];
	char byte;

	greet(SOURCE_AHEAD + 100);
	say32(0); /* no reply */
	ck_assert_int_eq(source_connect(&source, ends[0]), 0);
	shutdown(ends[1], SHUT_WR);
	ck_assert_int_eq(source_read(&source, SOURCE_AHEAD + 1, &byte, 1), -EIO);
	ck_assert(read(ends[1], got, sizeof(got)) == (ssize_t)sizeof(got));
	ck_assert(memcmp(got, choice, sizeof(choice)) == 0);
	ck_assert(memcmp(got + sizeof(choice), request, sizeof(request)) == 0);
}
END_TEST

START_TEST(test_no_server)
{
	const char *const said[] = {"", "NBDMAGIC", "NBDMAGICIHAVEOPT\0\1aaaaaaaaaa",
				    "XBDMAGICIHAVEOPT\0\3aaaaaaaaaa",
				    "NBDMAGICXHAVEOPT\0\3aaaaaaaaaa"};
	const size_t len[] = {0, 8, 28, 28, 28};

	say(said[_i], len[_i]);
	end();
	ck_assert_int_lt(source_connect(&source, ends[0]), 0);
}
END_TEST

START_TEST(test_bad_answers)
{
	char byte;

	/* Its image may be as large as it likes. */
	greet(UINT64_MAX);
	if (_i == 0)
		answer(5);
	if (_i == 1)
		say("0123456789abcdef", 16);
	if (_i == 2)
		answer(0);
	if (_i == 2)
		say("short", 5);
	end();
	ck_assert_int_eq(source_connect(&source, ends[0]), 0);
	ck_assert_int_eq(source_read(&source, UINT64_MAX - 1, &byte, 1), -EIO);
}
END_TEST

Suite *source_suite(void);
Suite *source_suite(void)
{
	Suite *suite = suite_create("source");
	TCase *tcase = tcase_create("source");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, test_reads);
	tcase_add_test(tcase, test_asks);
	tcase_add_loop_test(tcase, test_no_server, 0, 5);
	tcase_add_loop_test(tcase, test_bad_answers, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite;
}
