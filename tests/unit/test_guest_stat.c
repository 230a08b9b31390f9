// SPDX-License-Identifier: Apache-2.0
/* Under the sanitizers; tests/cli goes through every figure with the real program. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/control/guest_stat.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static char said[128];

static json_t *check(const char *text)
{
	struct option_error error = {said, sizeof(said)};
	json_t *answer = json_loads(text, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
	ck_assert_ptr_nonnull(answer);
	said[0] = '\0';
	json_t *stat = guest_stat_check(answer, &error);
	json_decref(answer);
	return stat;
}

/* Everything that shows it; what it says is for tests/cli. */
static void show(json_t *stat)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *guests = json_pack("[{s:s, s:O}, {s:s, s:n}]", "name", "a", "stat", stat, "name",
				   "b", "stat");
	guest_stat_print(stat, out);
	guest_stat_print_memory(stat, out);
	guest_stat_print_metrics(guests, out);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "ebb_up{guest=\"a\"} 1\nebb_up{guest=\"b\"} 0\n"));
	free(text);
	json_decref(guests);
}

static const char *const good[] = {
	"{}",
	"{\"future\": [], \"memory\": {\"future\": 1}}",
	"{\"memory\": null, \"guest-stats\": null}",
	"{\"guest-stats\": {\"stats\": null}}",
	"{\"guest-stats\": {\"stats\": {\"stat-free-memory\": -1, \"stat-oom-kills\": 1}}}",
	"{\"guest-stats\": {\"last-update\": 9223372036854775807}}",
	"{\"disks\": []}",
	"{\"disks\": [{}, {\"disk\": \"disk1\", \"reads\": 3, \"future\": 1}]}",
	"{\"uptime\": 1e300, \"name\": \"\", \"pid\": 0}",
};

START_TEST(test_good)
{
	json_t *stat = check(good[_i]);
	ck_assert_msg(stat != NULL, "%s", said);
	ck_assert_ptr_null(json_object_get(stat, "future"));
	show(stat);
	ck_assert_uint_eq(guest_stat_number(stat, "guest-stats/stats/stat-free-memory", 7), 7);
	json_decref(stat);
}
END_TEST

static const struct {
	const char *answer, *says;
} bad[] = {
	{"1", "not an object"},
	{"[]", "not an object"},
	{"{\"memory\": []}", "memory is not an object"},
	{"{\"memory\": {\"size\": -1}}", "memory/size is below 0"},
	{"{\"memory\": {\"size\": 1.5}}", "memory/size is not a whole number"},
	{"{\"uptime\": -0.5}", "uptime is below 0"},
	{"{\"uptime\": \"1\"}", "uptime is not a number"},
	{"{\"name\": \"a\\u0000b\"}", "name is not a name"},
	{"{\"balloon\": {\"deflate-on-oom\": 1}}", "balloon/deflate-on-oom is neither"},
	{"{\"disks\": {}}", "disks is not a list"},
	{"{\"disks\": null}", "disks is not a list"},
	{"{\"disks\": [1]}", "disks/disk is not an object"},
	{"{\"networks\": {}}", "networks is not a list"},
	{"{\"networks\": [{\"sent\": -1}]}", "networks/sent is below 0"},
	{"{\"disks\": [{}, {\"reads\": -1}]}", "disks/reads is below 0"},
	{"{\"disks\": [{\"file\": \"a\\u0000b\"}]}", "disks/file is not a name"},
	{"{\"guest-stats\": {\"stats\": {\"stat-oom-kills\": 1.0}}}",
	 "stat-oom-kills is not a whole"},
};

START_TEST(test_bad)
{
	ck_assert_ptr_null(check(bad[_i].answer));
	ck_assert_msg(strstr(said, bad[_i].says), "\"%s\" lacks \"%s\"", said, bad[_i].says);
}
END_TEST

START_TEST(test_paths)
{
	json_t *stat = check("{\"name\": \"x\", \"memory\": {\"size\": 5, \"backing\": \"anon\"}}");
	ck_assert_uint_eq(guest_stat_number(stat, "memory/size", 1), 5);
	ck_assert_uint_eq(guest_stat_number(stat, "memory/rss", 1), 1);
	ck_assert_uint_eq(guest_stat_number(stat, "memory", 1), 1);
	ck_assert_uint_eq(guest_stat_number(stat, "name", 1), 1);
	ck_assert_uint_eq(guest_stat_number(NULL, "memory/size", 1), 1);
	ck_assert_str_eq(guest_stat_text(stat, "memory/backing"), "anon");
	ck_assert_str_eq(guest_stat_text(stat, "memory/size"), "");
	ck_assert_str_eq(guest_stat_text(NULL, "name"), "");
	json_decref(stat);
}
END_TEST

Suite *guest_stat_suite(void);
Suite *guest_stat_suite(void)
{
	Suite *suite = suite_create("guest_stat");
	TCase *tcase = tcase_create("guest_stat");
	tcase_add_loop_test(tcase, test_good, 0, COUNT(good));
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	tcase_add_test(tcase, test_paths);
	suite_add_tcase(suite, tcase);
	return suite;
}
