// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <string.h>

#include "vmm/lib/guest_name.h"

START_TEST(test_names)
{
	static const struct {
		const char *name;
		const char *wrong;	  /* with a name for a new guest, or NULL */
		const char *lookup_wrong; /* with one that may be running */
	} table[] = {
		{"a", NULL, NULL},
		{"caf\xc3\xa9 \"1\" {}", NULL, NULL},
		{"", "empty", "empty"},
		{".", "directory", "directory"},
		{"..", "directory", "directory"},
		{"a/b", "slash", "slash"},
		{"a\nb", "control", NULL},
		{"a\x7f", "control", NULL},
		{"caf\xe9", "UTF-8", NULL},
		{"\xc0\xaf", "UTF-8", NULL},
		{"\xf5\x80\x80\x80", "UTF-8", NULL},
		{"a\xe2\x82", "UTF-8", NULL},
		{"0123456789012345678901234567890123456789012345678901234567890123", NULL, NULL},
		{"01234567890123456789012345678901234567890123456789012345678901234", "long",
		 "long"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *wrong = vm_name_error(table[i].name);
		const char *lookup = vm_name_lookup_error(table[i].name);
		ck_assert_msg((wrong != NULL) == (table[i].wrong != NULL), "%s", table[i].name);
		ck_assert_msg((lookup != NULL) == (table[i].lookup_wrong != NULL), "%s",
			      table[i].name);
		ck_assert(!wrong || strstr(wrong, table[i].wrong));
		ck_assert(!lookup || strstr(lookup, table[i].lookup_wrong));
	}
}
END_TEST

Suite *guest_name_suite(void);
Suite *guest_name_suite(void)
{
	Suite *suite = suite_create("guest_name");
	TCase *tcase = tcase_create("guest_name");
	tcase_add_test(tcase, test_names);
	suite_add_tcase(suite, tcase);
	return suite;
}
