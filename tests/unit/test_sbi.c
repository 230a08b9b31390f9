// SPDX-License-Identifier: Apache-2.0
/* The firmware's serial port, for guests that mean well and others. */
#include <check.h>
#include <string.h>

#include "vmm/arch/fdt/layout.h"
#include "vmm/arch/riscv64/sbi.h"

#define BASE 0x80000000ULL
#define SIZE 0x200000ULL

static struct ram ram;
static struct bus bus;
static char sent[4096];
static size_t sent_len;
static const char *coming;

static void uart_read(void *ctx, uint64_t offset, void *data, unsigned int len)
{
	(void)ctx, (void)len;
	uint8_t value = 0;
	if (offset == 5)
		value = 0x60 | (*coming != '\0');
	else if (offset == 0 && *coming)
		value = *coming++;
	memcpy(data, &value, 1);
}

static void uart_write(void *ctx, uint64_t offset, const void *data, unsigned int len)
{
	(void)ctx;
	ck_assert_uint_eq(offset, 0);
	ck_assert_uint_eq(len, 1);
	ck_assert_uint_lt(sent_len, sizeof(sent));
	sent[sent_len++] = *(const char *)data;
}

static void setup(void)
{
	const struct ram_config config = RAM_CONFIG_DEFAULT;
	const struct gpa_range span = {BASE, SIZE};
	const struct bus_range uart = {FDT_SERIAL, 8, NULL, uart_read, uart_write};

	ck_assert_int_eq(ram_init(&ram, &config, &span, 1), 0);
	memset(&bus, 0, sizeof(bus));
	ck_assert_int_eq(bus_add(&bus, &uart), 0);
	memset(sent, 0, sizeof(sent));
	sent_len = 0;
	coming = "";
}

static void teardown(void)
{
	ram_release(&ram);
}

static struct sbi_answer call(uint64_t extension, uint64_t function, uint64_t a0, uint64_t a1,
			      uint64_t a2)
{
	const struct sbi_call it = {extension, function, {a0, a1, a2}};
	return sbi_answer(&it, &bus, &ram);
}

#define ASSERT_ANSWER(got, wanted_error, wanted_value)                                             \
	do {                                                                                       \
		const struct sbi_answer answer = (got);                                            \
		ck_assert_int_eq(answer.error, wanted_error);                                      \
		ck_assert_int_eq(answer.value, wanted_value);                                      \
	} while (0)

START_TEST(one_character_at_a_time)
{
	ASSERT_ANSWER(call(SBI_PUTCHAR, 0, 'h', 0, 0), 0, 0);
	ASSERT_ANSWER(call(SBI_DEBUG, SBI_DEBUG_WRITE_BYTE, 'i', 0, 0), 0, 0);
	ck_assert_str_eq(sent, "hi");
	ASSERT_ANSWER(call(SBI_GETCHAR, 0, 0, 0, 0), -1, 0);
	coming = "y";
	ASSERT_ANSWER(call(SBI_GETCHAR, 0, 0, 0, 0), 'y', 0);
	ASSERT_ANSWER(call(SBI_GETCHAR, 0, 0, 0, 0), -1, 0);
}
END_TEST

START_TEST(a_text_is_written_from_memory)
{
	const char text[] = "before there is a driver";
	const size_t len = strlen(text);

	ck_assert_int_eq(ram_write(&ram, BASE + SIZE - len, text, len), 0);
	ASSERT_ANSWER(call(SBI_DEBUG, SBI_DEBUG_WRITE, len, BASE + SIZE - len, 0), 0, (int)len);
	ck_assert_str_eq(sent, text);
	ASSERT_ANSWER(call(SBI_DEBUG, SBI_DEBUG_WRITE, 0, 0, 0), 0, 0);
	/* A longer one in parts: so much of it. */
	ASSERT_ANSWER(call(SBI_DEBUG, SBI_DEBUG_WRITE, SIZE, BASE, 0), 0, SBI_DEBUG_MAX);
	ck_assert_uint_eq(sent_len, len + SBI_DEBUG_MAX);
}
END_TEST

START_TEST(what_came_is_read_into_memory)
{
	char got[8] = "........";

	ck_assert_int_eq(ram_write(&ram, BASE, got, sizeof(got)), 0);
	ASSERT_ANSWER(call(SBI_DEBUG, SBI_DEBUG_READ, sizeof(got), BASE, 0), 0, 0);
	coming = "abcde";
	ASSERT_ANSWER(call(SBI_DEBUG, SBI_DEBUG_READ, 3, BASE, 0), 0, 3);
	ck_assert_int_eq(ram_read(&ram, BASE, got, sizeof(got)), 0);
	ck_assert_mem_eq(got, "abc.....", sizeof(got));
	ASSERT_ANSWER(call(SBI_DEBUG, SBI_DEBUG_READ, SIZE, BASE, 0), 0, 2);
	ck_assert_int_eq(ram_read(&ram, BASE, got, sizeof(got)), 0);
	ck_assert_mem_eq(got, "dec.....", sizeof(got));
}
END_TEST

START_TEST(memory_that_is_not_the_guests_is_refused)
{
	static const uint64_t bad[][3] = {
		{1, BASE - 1, 0},
		{1, BASE + SIZE, 0},
		{2, BASE + SIZE - 1, 0},
		{SIZE + 1, BASE, 0},
		{1, 0, 0},
		{1, FDT_SERIAL, 0},
		{1, ~0ULL, 0},
		{~0ULL, BASE, 0},
		{~0ULL, ~0ULL, 0},
		{~0ULL - BASE + 2, BASE, 0}, /* ends at 1 */
		{1, BASE, 1},
		{1, BASE, ~0ULL},
	};

	coming = "secret";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (uint64_t function = SBI_DEBUG_WRITE; function <= SBI_DEBUG_READ; function++)
			ASSERT_ANSWER(call(SBI_DEBUG, function, bad[i][0], bad[i][1], bad[i][2]),
				      SBI_INVALID_PARAM, 0);
	ck_assert_uint_eq(sent_len, 0);
	ck_assert_str_eq(coming, "secret");
}
END_TEST

START_TEST(other_calls_are_not_supported)
{
	ASSERT_ANSWER(call(SBI_DEBUG, 3, 1, BASE, 0), SBI_NOT_SUPPORTED, 0);
	ASSERT_ANSWER(call(SBI_DEBUG, ~0ULL, 1, BASE, 0), SBI_NOT_SUPPORTED, 0);
	ASSERT_ANSWER(call(0x08000000, 0, 1, BASE, 0), SBI_NOT_SUPPORTED, 0);
	ASSERT_ANSWER(call(~0ULL, 0, 1, BASE, 0), SBI_NOT_SUPPORTED, 0);
	ck_assert_uint_eq(sent_len, 0);
}
END_TEST

Suite *sbi_suite(void);
Suite *sbi_suite(void)
{
	Suite *suite = suite_create("sbi");
	TCase *tcase = tcase_create("sbi");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, one_character_at_a_time);
	tcase_add_test(tcase, a_text_is_written_from_memory);
	tcase_add_test(tcase, what_came_is_read_into_memory);
	tcase_add_test(tcase, memory_that_is_not_the_guests_is_refused);
	tcase_add_test(tcase, other_calls_are_not_supported);
	suite_add_tcase(suite, tcase);
	return suite;
}
