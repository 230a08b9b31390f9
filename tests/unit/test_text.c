// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/table.h"
#include "vmm/lib/text.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct {
	const char *text, *want, *want_lines;
} cases[] = {
	{"", "", NULL},
	{"plain ~ \\ text", "plain ~ \\ text", NULL},
	{"ü € 😀", "ü € 😀", NULL},
	{"a\nb\tc", "a\\x0ab\\x09c", "a\nb\tc"},
	{"\x1b[31m\r\x7f\b", "\\x1b[31m\\x0d\\x7f\\x08", NULL},
	{"\xc2\x9b"
	 "2J\xc2\xa0",
	 "\\xc2\\x9b2J\xc2\xa0", NULL},
	{"\xe2\x80\xae\xe2\x81\xa6", "\\xe2\\x80\\xae\\xe2\\x81\\xa6", NULL},
	{"\xff\xfe\x80", "\\xff\\xfe\\x80", NULL},
	{"\xc3", "\\xc3", NULL},			    /* cut off */
	{"\xe2\x82", "\\xe2\\x82", NULL},		    /* cut off */
	{"\xc0\x80\xc1\xbf", "\\xc0\\x80\\xc1\\xbf", NULL}, /* longer than need be */
	{"\xed\xa0\x80", "\\xed\\xa0\\x80", NULL},	    /* half of a pair */
	{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", NULL}, /* beyond Unicode */
	{"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf", NULL},
};

START_TEST(test_escape)
{
	char out[TEXT_MAX];
	ck_assert_str_eq(text_escape(out, sizeof(out), cases[_i].text, false), cases[_i].want);
	ck_assert_str_eq(text_escape(out, sizeof(out), cases[_i].text, true),
			 cases[_i].want_lines ? cases[_i].want_lines : cases[_i].want);
	/* Cut off anywhere, it is what fits and nothing behind it is written to. */
	for (size_t size = 1; size < 16; size++) {
		memset(out, 'x', sizeof(out));
		text_escape(out, size, cases[_i].text, false);
		ck_assert_uint_lt(strlen(out), size);
		ck_assert_mem_eq(out, cases[_i].want, strlen(out));
		ck_assert_int_eq(out[size], 'x');
	}
}
END_TEST

START_TEST(test_size)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} sizes[] = {
		{0, "0.0 MiB"},
		{1, "0.0 KiB"},
		{4096, "4.0 KiB"},
		{(1 << 20) - 1, "1024.0 KiB"},
		{1 << 20, "1.0 MiB"},
		{(2 << 20) - 1, "2.0 MiB"},
		{UINT64_C(585210266), "558.1 MiB"},
		{UINT64_MAX, "17592186044416.0 MiB"},
	};
	char out[TEXT_SIZE_MAX];
	for (int i = 0; i < COUNT(sizes); i++)
		ck_assert_str_eq(text_size(out, sizes[i].bytes), sizes[i].want);
}
END_TEST

START_TEST(test_table)
{
	static const struct table_column columns[] = {{"NAME", "name", TABLE_TEXT},
						      {"N", "n", TABLE_NUMBER},
						      {"SIZE", "size", TABLE_SIZE}};
	json_t *rows =
		json_pack("[{s:s, s:i, s:i}, {s:s, s:s, s:i}, {s:i}]", "name", "ü", "n", 1000,
			  "size", 1 << 20, "name", "a\x1b", "n", "x", "size", -1, "name", 5);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	table_print(columns, 3, rows, out);
	fclose(out);
	ck_assert_str_eq(text, "NAME      N     SIZE\n"
			       "ü      1000  1.0 MiB\n"
			       "a\\x1b     -        -\n"
			       "-         -        -\n");
	free(text);
	json_decref(rows);
}
END_TEST

START_TEST(test_json)
{
	json_t *value = json_pack("{s:s}", "a", "\x7f\x1bü\"");
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	table_print_json(value, out);
	fclose(out);
	ck_assert_str_eq(text, "{\n  \"a\": \"\\u007f\\u001B\\u00FC\\\"\"\n}\n");
	free(text);
	json_decref(value);
}
END_TEST

Suite *text_suite(void);
Suite *text_suite(void)
{
	Suite *suite = suite_create("text");
	TCase *tcase = tcase_create("text");
	tcase_add_loop_test(tcase, test_escape, 0, COUNT(cases));
	tcase_add_test(tcase, test_size);
	tcase_add_test(tcase, test_table);
	tcase_add_test(tcase, test_json);
	suite_add_tcase(suite, tcase);
	return suite;
}
