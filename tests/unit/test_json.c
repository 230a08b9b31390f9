// SPDX-License-Identifier: Apache-2.0
/* json_read() against jansson, which it stands in for, and where memory runs out; json_text(). */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/failing.h"
#include "vmm/lib/json.h"

/* As many kinds of what JSON has, and of what it has not. */
static const char *const pieces[] = {
	"{",
	"}",
	"[",
	"]",
	",",
	":",
	"\"a\"",
	"\"\"",
	"\"b\"",
	"1",
	"-0",
	"-1.5",
	"2e3",
	"1E-2",
	"01",
	"-",
	"1.",
	"true",
	"false",
	"null",
	"nul",
	" ",
	"\n",
	"\t",
	"\"\\n\"",
	"\"\\q\"",
	"\"\\u00e9\"",
	"\"\\ud83d\\ude00\"",
	"\"\\ud83d\"",
	"\"\\u0000\"",
	"\"\xc3\xa9\"",
	"\"\xc3\"",
	"\"\\\"\\\\\"",
	"\"",
	"\\",
	"\xff",
	"99999999999999999999",
	"9223372036854775807",
	"-9223372036854775808",
	"1e999",
	"1e-999",
	"{\"k\":",
	"{\"k\":1,\"l\":",
};
#define PIECES (sizeof(pieces) / sizeof(pieces[0]))

/* A copy of its own: reading past the end is seen. */
static int read_copy(json_t **value, const char *text, size_t len, char *error, size_t size)
{
	char *copy = malloc(len ? len : 1);
	memcpy(copy, text, len);
	int err = json_read(value, copy, len, error, size);
	free(copy);
	return err;
}

static void compare(const char *text, size_t len)
{
	char error[64] = "";
	json_t *ours;
	json_t *theirs = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	int err = read_copy(&ours, text, len, error, sizeof(error));
	ck_assert_msg((err == 0) == (theirs != NULL), "%.*s: %d, %s", (int)len, text, err, error);
	ck_assert((err == 0) == (ours != NULL) && (err == 0) == (*error == '\0'));
	ck_assert_msg(!theirs || json_equal(ours, theirs), "%.*s", (int)len, text);
	json_decref(ours);
	json_decref(theirs);
}

START_TEST(test_as_jansson)
{
	unsigned int seed = 815;
	unsigned int right = 0;
	for (size_t i = 0; i < PIECES; i++)
		compare(pieces[i], strlen(pieces[i]));
	for (int round = 0; round < 200000; round++) {
		char text[256];
		size_t len = 0;
		int count = 1 + rand_r(&seed) / 7 % 8;
		for (int i = 0; i < count; i++) {
			const char *piece = pieces[rand_r(&seed) / 7 % PIECES];
			memcpy(text + len, piece, strlen(piece));
			len += strlen(piece);
		}
		compare(text, len);
		json_t *value = json_loadb(text, len, JSON_DECODE_ANY, NULL);
		right += value != NULL;
		json_decref(value);
	}
	/* Both kinds were there. */
	ck_assert_uint_gt(right, 1000);
}
END_TEST

/* What is right, with one byte changed or left out. */
START_TEST(test_nearly_right)
{
	static const char right[] =
		"{\"a\": [1, -2.5e3, \"x\\u00e9\\ud83d\\ude00\\n\", true, null], "
		"\"b\": {\"c\": {}, \"d\": []}, \"\": false}";
	size_t len = sizeof(right) - 1;
	char text[sizeof(right)];
	compare(right, len);
	for (size_t i = 0; i < len; i++) {
		compare(right, i);
		for (int byte = 1; byte < 256; byte++) {
			memcpy(text, right, len);
			text[i] = (char)byte;
			compare(text, len);
		}
		memcpy(text, right, i);
		memcpy(text + i, right + i + 1, len - i - 1);
		compare(text, len - 1);
	}
}
END_TEST

START_TEST(test_depth)
{
	char text[2 * JSON_READ_DEPTH + 2], error[64];
	json_t *value;
	memset(text, '[', JSON_READ_DEPTH + 1);
	memset(text + JSON_READ_DEPTH + 1, ']', JSON_READ_DEPTH + 1);
	ck_assert_int_eq(read_copy(&value, text, sizeof(text), error, sizeof(error)), -EINVAL);
	ck_assert_ptr_null(value);
	ck_assert_int_eq(read_copy(&value, text + 1, sizeof(text) - 2, error, sizeof(error)), 0);
	json_decref(value);
}
END_TEST

/* Long tokens, for which jansson's lexer has to grow its buffer. */
START_TEST(test_no_memory)
{
	char text[4096], error[64];
	json_t *value;
	size_t len = (size_t)snprintf(text, sizeof(text),
				      "{\"%0100d\": [\"%01000d\", 1, 2.5, {}], \"k\": \"\\u00e9\"}",
				      1, 2);
	bool failed = true;
	for (unsigned int nth = 1; failed; nth++) {
		failing_arm(nth);
		int err = json_read(&value, text, len, error, sizeof(error));
		failed = failing_disarm();
		ck_assert_int_eq(err, failed ? -ENOMEM : 0);
		ck_assert((value != NULL) == !failed);
		ck_assert_uint_gt(nth, 0);
		ck_assert(failed || nth > 10);
		json_decref(value);
	}
}
END_TEST

START_TEST(test_text)
{
	static const struct {
		const char *bytes, *want;
	} table[] = {
		{"", ""},
		{"caf\xc3\xa9", "caf\xc3\xa9"},
		{"a\nb\x7f", "a\nb\x7f"},
		{"caf\xe9", "caf\\xe9"},
		{"\xff\n\xc3\xa9", "\\xff\\x0a\xc3\xa9"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		json_t *value = json_text(table[i].bytes);
		ck_assert_str_eq(json_string_value(value), table[i].want);
		json_decref(value);
	}
}
END_TEST

Suite *json_suite(void);
Suite *json_suite(void)
{
	Suite *suite = suite_create("json");
	TCase *tcase = tcase_create("json");
	tcase_add_test(tcase, test_as_jansson);
	tcase_add_test(tcase, test_nearly_right);
	tcase_add_test(tcase, test_depth);
	tcase_add_test(tcase, test_no_memory);
	tcase_add_test(tcase, test_text);
	suite_add_tcase(suite, tcase);
	return suite;
}
