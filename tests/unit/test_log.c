// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/log.h"

static char text[8192];
static int ends[2];

static void capture(void)
{
	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
}

/* All that was written since capture(), which ends. */
static const char *captured(void)
{
	close(STDERR_FILENO);
	size_t len = 0;
	ssize_t more;
	while ((more = read(ends[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += more;
	text[len] = '\0';
	close(ends[0]);
	return text;
}

START_TEST(test_kinds)
{
	struct log_limit limit = {0};
	capture();
	log_info("i%d", 1);
	log_error("e%d", 2);
	log_warn("w%d", 3);
	log_guest(&limit, "g%d", 4);
	ck_assert_str_eq(captured(), "ebb: i1\nebb: e2\nebb: warning: w3\nebb: guest: g4\n");
}
END_TEST

START_TEST(test_limit)
{
	struct log_limit limit = {0};
	capture();
	for (int i = 1; i <= 100; i++)
		log_guest(&limit, "%d", i);
	ck_assert_str_eq(captured(), "ebb: guest: 1\nebb: guest: 2\nebb: guest: 3\nebb: guest: 4\n"
				     "ebb: guest: 5 (further lines of this kind are withheld)\n");
}
END_TEST

/* Cut, but still one line with its end. */
START_TEST(test_long_line)
{
	static char word[4096];
	memset(word, 'a', sizeof(word) - 1);
	capture();
	log_warn("%s", word);
	log_error("after");
	char *after = strchr(captured(), '\n');
	ck_assert_ptr_nonnull(after);
	ck_assert_int_le(after - text, 1023);
	ck_assert_int_ge(after - text, 1000);
	ck_assert_str_eq(after, "\nebb: after\n");
}
END_TEST

Suite *log_suite(void);
Suite *log_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");
	tcase_add_test(tcase, test_kinds);
	tcase_add_test(tcase, test_limit);
	tcase_add_test(tcase, test_long_line);
	suite_add_tcase(suite, tcase);
	return suite;
}
