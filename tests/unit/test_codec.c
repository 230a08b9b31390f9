// SPDX-License-Identifier: Apache-2.0
/* What QEMU 7.2 answers to the same bytes was the pattern; README.md says where ebb differs. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/control/codec.h"

#define PIECES 24

/* What came out of a stream: messages as JSON text, "!" for CODEC_BAD, "!!" for CODEC_FATAL. */
struct heard {
	char text[2048];
	size_t len;
};

static void hear(struct heard *heard, const char *what)
{
	size_t len = strlen(what);
	if (heard->len + len + 2 > sizeof(heard->text))
		return;
	memcpy(heard->text + heard->len, what, len + 1);
	heard->len += len;
	heard->text[heard->len++] = ' ';
	heard->text[heard->len] = '\0';
}

/* False when the connection would be ended. */
static bool feed(struct codec *codec, const char *bytes, size_t len, struct heard *heard)
{
	enum codec_result result;
	do {
		json_t *message;
		size_t used = -1;
		/* A copy of its own: reading past the end is seen. */
		char *copy = malloc(len ? len : 1);
		memcpy(copy, bytes, len);
		result = codec_feed(codec, copy, len, &used, &message);
		free(copy);
		ck_assert_uint_le(used, len);
		ck_assert(result != CODEC_MORE || used == len);
		ck_assert((result == CODEC_MESSAGE) == (message != NULL));
		if (message) {
			char *text = json_dumps(message, JSON_ENCODE_ANY | JSON_COMPACT);
			hear(heard, text);
			free(text);
		} else if (result != CODEC_MORE) {
			hear(heard, result == CODEC_BAD ? "!" : "!!");
			ck_assert_uint_gt(strlen(codec->error), 0);
		}
		json_decref(message);
		bytes += used;
		len -= used;
	} while (result != CODEC_MORE && result != CODEC_FATAL);
	return result == CODEC_MORE;
}

static const char *whole(const char *bytes, size_t len, struct heard *heard)
{
	struct codec codec;
	*heard = (struct heard){.len = 0};
	codec_init(&codec, 1024);
	feed(&codec, bytes, len, heard);
	codec_release(&codec);
	return heard->text;
}

/* clang-format off */
static const struct {
	const char *bytes, *want;
} table[] = {
	{"", ""},
	{" \t\r\n \n", ""},
	{"{}", "{} "},
	{"{\"a\":1}", "{\"a\":1} "},
	{"{\"a\":1}{\"b\":2}", "{\"a\":1} {\"b\":2} "},
	{"{\"a\":1}\r\n{\"b\":2}\r\n", "{\"a\":1} {\"b\":2} "},
	{" { \"a\"\t:\r\n[ 1 , { } ] } ", "{\"a\":[1,{}]} "},
	{"[]\"x\"[1]", "[] \"x\" [1] "},
	{"1 2 3{}", "1 2 3 {} "},
	{"1", ""},
	{"1{}", "1 {} "},
	{"1\"a\"", "1 \"a\" "},
	{"true false,null ", "true false ! null "},
	{"truefalse {}", "! {} "},
	{"{\"a\":tru}{}", "! {} "},
	{"-0 -1 1.5 1e3 -1.25E-2 0.5 ", "0 -1 1.5 1000.0 -0.012500000000000001 0.5 "},
	{"01 {}", "! {} "}, {"+1 {}", "! {} "}, {".5 {}", "! {} "}, {"1. {}", "! {} "},
	{"- {}", "! {} "}, {"1e {}", "! {} "}, {"0x10 {}", "! {} "},
	{"9223372036854775807 -9223372036854775808 ", "9223372036854775807 -9223372036854775808 "},
	{"9223372036854775808 {}", "! {} "}, {"1e999 {}", "! {} "},
	{"NaN {}", "! {} "}, {"Infinity {}", "! {} "},
	/* Strings and their escapes. */
	{"\"}{][,:\"", "\"}{][,:\" "},
	{"\"a\\\"b\\\\\"{}", "\"a\\\"b\\\\\" {} "},
	{"\"\\/\\b\\f\\n\\r\\t\"", "\"/\\b\\f\\n\\r\\t\" "},
	{"\"\\u00e9\\ud83d\\ude00\"", "\"\u00e9\U0001f600\" "},
	{"\"\u00e9\U0001f600\x7f\"", "\"\u00e9\U0001f600\x7f\" "},
	{"\"\\x\"{}", "! {} "}, {"\"\\u12\"{}", "! {} "}, {"\"\\ud800\"{}", "! {} "},
	{"\"\\ude00\"{}", "! {} "}, {"\"\\u0000\"{}", "! {} "}, {"{\"\\u0000\":1}{}", "! {} "},
	{"\"\xc3(\"{}", "! {} "}, {"\"\xc0\x80\"{}", "! {} "}, {"\"\xed\xa0\x80\"{}", "! {} "},
	{"\"\xf4\x90\x80\x80\"{}", "! {} "}, {"\"\x80\"{}", "! {} "}, {"\"\xe2\x82\"{}", "! {} "},
	{"'a'", "\"a\" "},
	{"{'a':'it\\'s \"b\"'}", "{\"a\":\"it's \\\"b\\\"\"} "},
	{"\"it\\'s\" 'a\\\"b'", "\"it's\" \"a\\\"b\" "},
	{"'a\"{}", ""},
	/* What is no message is one error, and the next one is found. */
	{"{\"a\" 1}{}", "! {} "}, {"{\"a\":}{}", "! {} "}, {"{\"a\":1,}{}", "! {} "},
	{"{1:2}{}", "! {} "}, {"[1 2]{}", "! {} "}, {"[,]{}", "! {} "},
	{"{\"a\":1,\"a\":2}{}", "! {} "},
	{"{\"a\":{\"b\":1}}{\"b\":{}}", "{\"a\":{\"b\":1}} {\"b\":{}} "},
	{"{\"a\":ABC, \"b\":1}{}", "! {} "},
	{"ABC {}", "! {} "}, {"/* */{}", "! ! {} "}, {"%d{}", "! {} "}, {"\xef\xbb\xbf{}", "! {} "},
	{"}{}", "! {} "}, {"]{}", "! {} "}, {",,{}", "! ! {} "}, {":{}", "! {} "},
	{"{]}{}", "! ! {} "}, {"[}]{}", "! ! {} "}, {"[{]}{}", "! ! {} "}, {"{\"a\":[}{}", "! {} "},
	/* A byte that no JSON has: what was begun is forgotten, and what follows is skipped. */
	{"\xff{}", "! {} "}, {"\xfe{}", "! {} "}, {"\x01{}", "! {} "}, {"\x1f{}", "! {} "},
	{"\f{}", "! {} "}, {"\xff\n{}", "! {} "}, {"\xff\xff\n{}", "! ! {} "}, {"\xff" "abc\t\"x' 1\n1 ", "! 1 "},
	{"{\"a\":\xff{}", "! {} "}, {"{\"a\":\xfe{}", "! {} "}, {"[[[{\"a\":\"b\xff{}", "! {} "}, {"[[[\x01{}", "! {} "},
	{"12\xff{}", "12 ! {} "}, {"{\"a\":12\xff{}", "! {} "}, {"\"abc\n{}", "! {} "}, {"\"a\tb\"{}", "! {} "},
	{"\"a\\\n{}", "! {} "}, {"[[[\"\n{}", "! {} "}, {"\xff]{}", "! ! {} "}, {"\xff:{}", "! ! {} "},
};
/* clang-format on */

START_TEST(test_table)
{
	struct heard heard;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		ck_assert_msg(strcmp(whole(table[i].bytes, strlen(table[i].bytes), &heard),
				     table[i].want) == 0,
			      "%s: got %s, not %s", table[i].bytes, heard.text, table[i].want);
	/* A NUL is a control character, wherever it stands. */
	ck_assert_str_eq(whole("\0{}", 3, &heard), "! {} ");
	ck_assert_str_eq(whole("\"a\0\"{}", 6, &heard), "! {} ");
	ck_assert_str_eq(whole("[\"\\\0{}", 6, &heard), "! {} ");
}
END_TEST

/* However a stream is cut, the same comes out: in two at every place, and byte by byte. */
START_TEST(test_every_split)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t len = strlen(table[i].bytes);
		for (size_t cut = 0; cut <= len + 1; cut++) {
			struct codec codec;
			struct heard heard = {.len = 0};
			codec_init(&codec, 1024);
			for (size_t at = 0; cut > len && at < len; at++)
				feed(&codec, table[i].bytes + at, 1, &heard);
			if (cut <= len) {
				feed(&codec, table[i].bytes, cut, &heard);
				feed(&codec, table[i].bytes + cut, len - cut, &heard);
			}
			ck_assert_msg(strcmp(heard.text, table[i].want) == 0,
				      "%s at %zu: got %s, not %s", table[i].bytes, cut, heard.text,
				      table[i].want);
			codec_release(&codec);
		}
	}
}
END_TEST

static void assert_nested(unsigned int depth, const char *open, const char *close, const char *want)
{
	char text[256] = "";
	struct heard heard;
	for (unsigned int i = 0; i < depth; i++)
		strcat(text, open);
	for (unsigned int i = 0; i < depth; i++)
		strcat(text, close);
	whole(text, strlen(text), &heard);
	ck_assert_msg(want ? strcmp(heard.text, want) == 0 : heard.text[0] != '!', "%u %s: %s",
		      depth, open, heard.text);
}

START_TEST(test_nesting)
{
	assert_nested(CODEC_NESTING_MAX, "[", "]", NULL);
	assert_nested(CODEC_NESTING_MAX + 1, "[", "]", "!! ");
	assert_nested(CODEC_NESTING_MAX + 1, "{\"a\":", "}", "!! ");
	assert_nested(CODEC_NESTING_MAX / 2, "[{\"a\":", "1}]", "! "); /* 1}]1}] */
	/* What was closed does not count. */
	struct heard heard;
	char text[512] = "[";
	for (int i = 0; i < 40; i++)
		strcat(text, i ? ",[[]]" : "[[]]");
	strcat(text, "]");
	ck_assert_str_eq(whole(text, strlen(text), &heard), strcat(text, " "));
}
END_TEST

/* A message of exactly @len bytes, after space that does not count. */
static bool fits(size_t len, size_t limit, const char *frame)
{
	struct codec codec;
	struct heard heard = {.len = 0};
	char *text = malloc(len);
	memset(text, ' ', len);
	if (*frame == '"')
		memset(text, 'a', len);
	text[0] = frame[0];
	text[len - 1] = frame[1];
	codec_init(&codec, limit);
	ck_assert(feed(&codec, " \n \n \n", 6, &heard));
	bool fit = feed(&codec, text, len, &heard);
	ck_assert_uint_le(codec.size, 4 * limit);
	codec_release(&codec);
	free(text);
	return fit;
}

START_TEST(test_longest)
{
	ck_assert(fits(1024, 1024, "{}"));
	ck_assert(!fits(1025, 1024, "{}"));
	ck_assert(fits(1024, 1024, "\"\""));
	ck_assert(!fits(1025, 1024, "\"\""));
	ck_assert(fits(CODEC_MESSAGE_MAX, CODEC_MESSAGE_MAX, "[]"));
	ck_assert(!fits(CODEC_MESSAGE_MAX + 1, CODEC_MESSAGE_MAX, "[]"));
	/* One after the other, each has the whole length. */
	struct codec codec;
	struct heard heard = {.len = 0};
	char text[1000];
	memset(text, ' ', sizeof(text));
	text[0] = '[';
	text[999] = ']';
	codec_init(&codec, sizeof(text));
	for (int i = 0; i < 5; i++)
		ck_assert(feed(&codec, text, sizeof(text), &heard));
	ck_assert_str_eq(heard.text, "[] [] [] [] [] ");
	codec_release(&codec);
}
END_TEST

/* A gigabyte that never ends a message: how much of it is taken, and kept, is bounded. */
START_TEST(test_endless)
{
	static const char *const starts[] = {"\"", "'",		  "1",	  "abc",
					     "[ ", "{\"a\":\"\\", "\xff", "[,"};
	char block[4096];
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct codec codec;
		struct heard heard = {.len = 0};
		size_t taken = 0;
		codec_init(&codec, CODEC_MESSAGE_MAX);
		memset(block, starts[i][0] == '[' ? ' ' : '1', sizeof(block));
		bool open = feed(&codec, starts[i], strlen(starts[i]), &heard);
		for (; open && taken < (size_t)1 << 30; taken += sizeof(block))
			open = feed(&codec, block, sizeof(block), &heard);
		ck_assert_msg(!open && taken <= 2 * CODEC_MESSAGE_MAX, "%s: %zu", starts[i], taken);
		ck_assert_uint_le(codec.size, 2 * CODEC_MESSAGE_MAX);
		codec_release(&codec);
	}
}
END_TEST

START_TEST(test_line)
{
	size_t len;
	json_t *message = json_pack("{s:s, s:[i, n]}", "a", "\u00e9\r\n\U0001f600", "b", 1);
	char *line = codec_line(message, &len);
	static const char want[] = "{\"a\": \"\\u00E9\\r\\n\\uD83D\\uDE00\", \"b\": [1, null]}\r\n";
	ck_assert_uint_eq(len, sizeof(want) - 1);
	ck_assert_mem_eq(line, want, len);
	free(line);
	json_decref(message);
	/* What it has no text for. */
	ck_assert_ptr_null(codec_line(NULL, &len));
}
END_TEST

/* Whatever comes, nothing breaks, and after a byte that forces it a message is understood. */
START_TEST(test_garbage)
{
	static const char *const pieces[PIECES] = {
		"{", "}", "[",	"]",	",",	":", "\"", "'",	 "\\",	 "\\u00", "\\'",  "\"a\"",
		"1", "-", "e5", "null", "true", " ", "\n", "\t", "\xff", "\x01",  "\xc3", "\xa9",
	};
	unsigned int seed = 4711;
	struct codec codec;
	codec_init(&codec, 256);
	for (int round = 0; round < 500; round++) {
		struct heard heard = {.len = 0};
		bool open = true;
		for (int i = 0; open && i < 100; i++) {
			const char *piece = pieces[rand_r(&seed) / 7 % PIECES];
			char byte = rand_r(&seed) >> 5;
			bool raw = rand_r(&seed) / 11 % 8 == 0;
			open = raw ? feed(&codec, &byte, 1, &heard)
				   : feed(&codec, piece, strlen(piece), &heard);
		}
		heard = (struct heard){.len = 0};
		ck_assert(feed(&codec, "\xff\n", 2, &heard));
		heard = (struct heard){.len = 0};
		ck_assert(feed(&codec, "{\"a\":[1]}", 9, &heard));
		ck_assert_str_eq(heard.text, "{\"a\":[1]} ");
	}
	codec_release(&codec);
}
END_TEST

Suite *codec_suite(void);
Suite *codec_suite(void)
{
	Suite *suite = suite_create("codec");
	TCase *tcase = tcase_create("codec");
	tcase_add_test(tcase, test_table);
	tcase_add_test(tcase, test_every_split);
	tcase_add_test(tcase, test_nesting);
	tcase_add_test(tcase, test_longest);
	tcase_add_test(tcase, test_endless);
	tcase_add_test(tcase, test_line);
	tcase_add_test(tcase, test_garbage);
	suite_add_tcase(suite, tcase);
	return suite;
}
