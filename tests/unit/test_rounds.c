// SPDX-License-Identifier: Apache-2.0
/* Guest RAM that is sent while it is written to: what comes is what is there when nothing writes any more. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/memory.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/dirty_log.h"
#include "vmm/mem/present.h"
#include "vmm/snapshot/rounds.h"

#define PAGE   4096ULL
#define LOW    0x10000ULL
#define HIGH   0x100000000ULL
#define LOW_N  1000ULL /* pages: neither whole words nor whole blocks */
#define HIGH_N 70ULL
#define ROOM   (64ULL << 20) /* for all that is sent */

static struct ram ram, there;
static struct rounds *rounds;
static struct snapshot_writer writer;
static uint64_t *guest[2]; /* what KVM would have logged */
static struct {
	uint8_t *bytes;
	size_t len, at;
	unsigned int sections;
} stream;
static uint64_t seed;
static bool busy;	   /* the guest and its devices write while a round is sent */
static bool forgets_zeros; /* the reader */

/* xorshift64 */
static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static uint64_t draw_page(void)
{
	uint64_t page = draw(LOW_N + HIGH_N);
	return page < LOW_N ? LOW + page * PAGE : HIGH + (page - LOW_N) * PAGE;
}

/* --- who writes ---------------------------------------------------------------------------------- */

static void guest_writes(uint64_t gpa, uint8_t value)
{
	unsigned int high = gpa >= HIGH;
	uint64_t page = (gpa - (high ? HIGH : LOW)) / PAGE;

	*(volatile uint8_t *)ram_at(&ram, gpa, 1) = value;
	guest[high][page / 64] |= 1ULL << page % 64;
}

static void device_writes(uint64_t gpa, uint8_t value)
{
	ck_assert_int_eq(ram_write(&ram, gpa, &value, 1), 0);
}

static void give_back(uint64_t gpa, uint64_t pages)
{
	const struct gpa_range range = {gpa, pages * PAGE};
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;

	ram_discard(&ram, &range, 1, step, &result);
}

static void change(void)
{
	uint64_t gpa = draw_page();

	switch (draw(4)) {
	case 0:
		guest_writes(gpa + draw(PAGE), (uint8_t)draw(3));
		break;
	case 1:
		device_writes(gpa + draw(PAGE), (uint8_t)draw(3));
		break;
	case 2:
		give_back(gpa, 1 + draw(4));
		break;
	default:
		give_back(gpa, 1);
		guest_writes(gpa + draw(PAGE), (uint8_t)draw(3));
	}
}

static bool gives_all_back; /* the guest, when the first bytes are sent */

static int stream_write(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	ck_assert_uint_le(stream.len + len, ROOM);
	memcpy(stream.bytes + stream.len, data, len);
	stream.len += len;
	if (busy && draw(2))
		change();
	if (gives_all_back)
		give_back(LOW, LOW_N);
	gives_all_back = false;
	return 0;
}

static int stream_read(void *ctx, void *data, size_t len)
{
	(void)ctx;
	len = len < stream.len - stream.at ? len : stream.len - stream.at;
	memcpy(data, stream.bytes + stream.at, len);
	stream.at += len;
	return (int)len;
}

static bool always(void *ctx)
{
	(void)ctx;
	return true;
}

/* --- fixture ------------------------------------------------------------------------------------- */

static void init_ram(struct ram *one, enum ram_backing backing)
{
	const struct gpa_range span[] = {{LOW, LOW_N * PAGE}, {HIGH, HIGH_N * PAGE}};
	struct ram_config config = RAM_CONFIG_DEFAULT;

	config.backing = backing;
	ck_assert_int_eq(ram_init(one, &config, span, 2), 0);
}

static void setup_backing(enum ram_backing backing)
{
	init_ram(&ram, backing);
	init_ram(&there, RAM_ANON);
	ram.pagemap = present_open();
	memset(&stream, 0, sizeof(stream));
	stream.bytes = malloc(ROOM);
	writer = (struct snapshot_writer){.write = stream_write};
	for (unsigned int i = 0; i < 2; i++)
		guest[i] = calloc(dirty_log_words(&ram, &ram.region[i]), sizeof(uint64_t));
	ck_assert_int_eq(rounds_new(&rounds, &ram, &writer), 0);
	busy = forgets_zeros = false;
	seed = 88172645463325252ULL;
	dirty_log_switch(ram.dirty, true);
}

static void setup(void)
{
	setup_backing(RAM_ANON);
}

static void setup_memfd(void)
{
	setup_backing(RAM_MEMFD);
}

static void teardown(void)
{
	rounds_free(rounds);
	ram_release(&ram);
	ram_release(&there);
	free(guest[0]);
	free(guest[1]);
	free(stream.bytes);
}

/* --- rounds -------------------------------------------------------------------------------------- */

/* As vmm/machine/live.c does. */
static void look(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t *next = rounds_next(rounds, i);
		for (size_t w = 0; w < dirty_log_words(&ram, &ram.region[i]); w++)
			next[w] |= guest[i][w];
		memset(guest[i], 0, dirty_log_words(&ram, &ram.region[i]) * sizeof(uint64_t));
		dirty_log_take(ram.dirty, i, next);
	}
}

static void send_round(void)
{
	ck_assert_int_eq(rounds_send(rounds, always, NULL), 0);
	ck_assert_uint_eq(rounds_left(rounds), 0);
}

/* Reads all that was sent. Returns 0 or -errno. */
static int receive(void)
{
	static uint8_t room[SNAPSHOT_PAYLOAD_MAX];
	struct snapshot_reader reader = {.read = stream_read};
	struct snapshot_written written = {0};
	struct snapshot_section section;
	int error = 0;

	while (stream.at < stream.len && !error) {
		error = snapshot_next(&reader, &section);
		ck_assert(error || section.type == SNAPSHOT_WRITTEN);
		if (!error && forgets_zeros && section.len == 16)
			error = snapshot_payload(&reader, &section, room, sizeof(room));
		else if (!error)
			error = snapshot_written_read(&reader, &section, &there, room, &written);
		stream.sections++;
	}
	ck_assert(error || written.pages == writer.pages);
	return error;
}

static bool is_same(void)
{
	for (unsigned int i = 0; i < 2; i++)
		if (memcmp(ram.region[i].hva, there.region[i].hva, ram.region[i].size) != 0)
			return false;
	return true;
}

/* Some rounds while much is written, and one while nothing is. */
static bool moves(void)
{
	for (int i = 0; i < 500; i++)
		change();
	busy = true;
	for (int round = 0; round < 5; round++) {
		send_round();
		look();
	}
	busy = false;
	look();
	send_round();
	ck_assert_int_eq(receive(), 0);
	return is_same();
}

START_TEST(what_comes_is_what_is_there)
{
	seed += (uint64_t)_i * 7919;
	ck_assert(moves());
}
END_TEST

/* The controls: each of these is needed for it. */
START_TEST(without_the_log_of_this_process_it_is_not)
{
	dirty_log_switch(ram.dirty, false);
	ck_assert(!moves());
}
END_TEST

START_TEST(without_what_became_zero_it_is_not)
{
	forgets_zeros = true;
	ck_assert(!moves());
}
END_TEST

/* Sent, given back, then perhaps written to again, before the next round: neither the old bytes nor none. */
START_TEST(a_page_that_is_given_back_between_rounds)
{
	for (uint64_t page = 0; page < 40; page++)
		guest_writes(LOW + page * PAGE, 1);
	send_round();
	give_back(LOW, 40);
	guest_writes(LOW + 7 * PAGE + 5, 2);
	look();
	/* What it costs; all 40 are looked at. */
	ck_assert_uint_eq(rounds_left(rounds), 1);
	send_round();
	ck_assert_int_eq(receive(), 0);
	ck_assert(is_same());
	ck_assert_uint_eq(*(uint8_t *)ram_at(&there, LOW + 7 * PAGE + 5, 1), 2);
	ck_assert(memory_is(ram_at(&there, LOW, 7 * PAGE), 7 * PAGE, 0));
	/* The reader has given them back, too; but the one. */
	ck_assert_uint_eq(memory_smaps(there.map, there.map_size, "Anonymous") <= 3 * 1024 * 4, 1);
	/* 40 pages in three sections, then zeros before and behind the one, and the one. */
	ck_assert_uint_eq(stream.sections, 6);
}
END_TEST

/* Memory that was never touched, or holds zeros, costs nothing; nor is it touched. */
START_TEST(nothing_is_sent_of_nothing)
{
	uint64_t before = memory_smaps(ram.map, ram.map_size, "Rss");

	send_round();
	ck_assert_uint_eq(stream.len, 0);
	ck_assert_uint_eq(memory_smaps(ram.map, ram.map_size, "Rss"), before);
	guest_writes(LOW, 0);
	give_back(HIGH, HIGH_N);
	look();
	ck_assert_uint_eq(rounds_left(rounds), 1);
	send_round();
	ck_assert_uint_eq(stream.len, 0);
}
END_TEST

/* Whatever the guest there is to give its memory back by. */
START_TEST(zeros_take_no_memory)
{
	there.discard = DISCARD_FREE;
	for (uint64_t page = 0; page < 40; page++)
		guest_writes(LOW + page * PAGE, 1);
	send_round();
	give_back(LOW, 40);
	look();
	send_round();
	ck_assert_int_eq(receive(), 0);
	ck_assert(is_same());
	ck_assert_uint_eq(memory_smaps(there.map, there.map_size, "Anonymous"), 0);
}
END_TEST

/* To read what is given back in the middle of a round would take it again. */
START_TEST(what_is_given_back_meanwhile_stays_so)
{
	struct stat file;

	for (uint64_t page = 0; page < LOW_N; page++)
		guest_writes(LOW + page * PAGE, 1);
	gives_all_back = true;
	send_round();
	look();
	send_round();
	ck_assert_int_eq(fstat(ram.file, &file), 0);
	ck_assert_int_eq(file.st_blocks, 0);
	ck_assert_int_eq(receive(), 0);
	ck_assert(is_same());
}
END_TEST

/* They are separate mappings there: what comes is never of two. */
START_TEST(regions_that_adjoin)
{
	struct ram split = ram;
	struct rounds *two;

	split.region[1] =
		(struct ram_region){LOW + 10 * PAGE, 5 * PAGE, ram.region[0].hva + 10 * PAGE};
	split.region[0].size = 10 * PAGE;
	for (uint64_t page = 8; page < 12; page++)
		guest_writes(LOW + page * PAGE, 1);
	ck_assert_int_eq(rounds_new(&two, &split, &writer), 0);
	ck_assert_int_eq(rounds_send(two, always, NULL), 0);
	give_back(LOW + 8 * PAGE, 4);
	*rounds_next(two, 0) = 3 << 8;
	*rounds_next(two, 1) = 3;
	ck_assert_int_eq(rounds_send(two, always, NULL), 0);
	rounds_free(two);
	ck_assert_int_eq(receive(), 0);
	ck_assert(is_same());
	ck_assert_uint_eq(stream.sections, 4);
}
END_TEST

/* A bit would be another page than the one that is sent. */
START_TEST(pages_of_another_size_are_refused)
{
	struct ram large = ram;
	struct rounds *none = rounds;

	large.page_size = 2 << 20;
	ck_assert_int_eq(rounds_new(&none, &large, &writer), -EOPNOTSUPP);
	ck_assert_ptr_null(none);
}
END_TEST

static bool never(void *ctx)
{
	(void)ctx;
	return false;
}

START_TEST(it_ends_when_it_shall)
{
	ck_assert_int_eq(rounds_send(rounds, never, NULL), -ECANCELED);
	close(ram.pagemap);
	ram.pagemap = -1;
	ck_assert_int_eq(rounds_send(rounds, always, NULL), -ENOENT);
}
END_TEST

/* --- what is read is checked --------------------------------------------------------------------- */

static int receive_this(uint64_t gpa, uint64_t pages, size_t bytes)
{
	static uint8_t payload[SNAPSHOT_PAYLOAD_MAX + 16];

	memcpy(payload, &gpa, 8);
	memcpy(payload + 8, &pages, 8);
	memset(payload + 16, 0xaa, sizeof(payload) - 16);
	stream.len = stream.at = 0;
	writer = (struct snapshot_writer){.write = stream_write};
	ck_assert_int_eq(snapshot_write(&writer, SNAPSHOT_WRITTEN, 0, payload, bytes), 0);
	writer.pages = bytes > 16 ? pages : 0;
	return receive();
}

START_TEST(what_is_not_ram_is_refused)
{
	const uint64_t end = LOW + LOW_N * PAGE;

	ck_assert_int_eq(receive_this(LOW, 1, 16 + PAGE), 0);
	ck_assert_uint_eq(*there.region[0].hva, 0xaa);
	ck_assert_int_eq(receive_this(end, 1, 16 + PAGE), -EINVAL);
	ck_assert_int_eq(receive_this(end - PAGE, 2, 16 + 2 * PAGE), -EINVAL);
	ck_assert_int_eq(receive_this(LOW - PAGE, 1, 16 + PAGE), -EINVAL);
	ck_assert_int_eq(receive_this(LOW + 8, 1, 16 + PAGE), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, 0, 16), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, LOW_N + 1, 16), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, 1ULL << 52, 16), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, UINT64_MAX, 16), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, 1, 15), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, 1, 17), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, 2, 16 + PAGE), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, 1, 16 + 2 * PAGE), -EINVAL);
	ck_assert_int_eq(receive_this(LOW, 16, 16 + 16 * PAGE), -EINVAL);
	/* What they refused has changed nothing. */
	ck_assert(memory_is(there.region[0].hva + PAGE, (LOW_N - 1) * PAGE, 0));
	ck_assert_int_eq(receive_this(LOW, LOW_N, 16), 0);
	ck_assert(memory_is(there.region[0].hva, LOW_N * PAGE, 0));
}
END_TEST

/* In the contents, too, and before any of them is used. */
START_TEST(each_bit_counts)
{
	guest_writes(LOW, 1);
	guest_writes(HIGH, 1);
	send_round();
	give_back(LOW, 1);
	look();
	send_round();
	for (size_t at = 0; at < stream.len; at++) {
		stream.bytes[at] ^= (uint8_t)(1 << at % 8);
		stream.at = 0;
		ck_assert_int_eq(receive(), -EINVAL);
		stream.bytes[at] ^= (uint8_t)(1 << at % 8);
	}
	stream.at = 0;
	ck_assert_int_eq(receive(), 0);
	ck_assert(is_same());
}
END_TEST

/* A stream that sends the same again and again is no guest on its way. */
START_TEST(it_has_an_end)
{
	static uint8_t room[SNAPSHOT_PAYLOAD_MAX];
	struct snapshot_reader reader = {.read = stream_read};
	struct snapshot_written written = {0};
	struct snapshot_section section;
	const uint64_t most = SNAPSHOT_ROUNDS_MAX * (LOW_N + HIGH_N) / HIGH_N;

	for (uint64_t i = 0; i <= most; i++)
		snapshot_written_write(&writer, HIGH, HIGH_N, NULL);
	for (uint64_t i = 0; i <= most; i++) {
		ck_assert_int_eq(snapshot_next(&reader, &section), 0);
		ck_assert_int_eq(snapshot_written_read(&reader, &section, &there, room, &written),
				 i < most ? 0 : -EINVAL);
	}
	ck_assert_str_eq(reader.why, "it has the guest's memory too often");
}
END_TEST

Suite *rounds_suite(void);
Suite *rounds_suite(void)
{
	Suite *suite = suite_create("rounds");
	TCase *tcase = tcase_create("rounds"), *memfd = tcase_create("memfd");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, what_comes_is_what_is_there, 0, 8);
	tcase_add_test(tcase, without_the_log_of_this_process_it_is_not);
	tcase_add_test(tcase, without_what_became_zero_it_is_not);
	tcase_add_test(tcase, a_page_that_is_given_back_between_rounds);
	tcase_add_test(tcase, nothing_is_sent_of_nothing);
	tcase_add_test(tcase, zeros_take_no_memory);
	tcase_add_test(tcase, regions_that_adjoin);
	tcase_add_test(tcase, pages_of_another_size_are_refused);
	tcase_add_test(tcase, it_ends_when_it_shall);
	tcase_add_test(tcase, what_is_not_ram_is_refused);
	tcase_add_test(tcase, each_bit_counts);
	tcase_add_test(tcase, it_has_an_end);
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(memfd, setup_memfd, teardown);
	tcase_add_loop_test(memfd, what_comes_is_what_is_there, 0, 8);
	tcase_add_test(memfd, what_is_given_back_meanwhile_stays_so);
	suite_add_tcase(suite, memfd);
	return suite;
}
