// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/lib/unix_address.h"

/* The longest path that fits with its zero, and one byte more. */
START_TEST(length)
{
	const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	struct sockaddr_un address;
	char path[200] = "";

	memset(path, 'x', most - 3);
	ck_assert_int_eq(unix_address(&address, "%s_%u", path, 42), 0);
	ck_assert_int_eq(address.sun_family, AF_UNIX);
	ck_assert_uint_eq(strlen(address.sun_path), most);
	ck_assert_str_eq(address.sun_path + most - 3, "_42");
	ck_assert_int_eq(unix_address(&address, "%s_%u", path, 420), -ENAMETOOLONG);
}
END_TEST

Suite *unix_address_suite(void);

Suite *unix_address_suite(void)
{
	Suite *suite = suite_create("unix_address");
	TCase *tcase = tcase_create("addresses");

	tcase_add_test(tcase, length);
	suite_add_tcase(suite, tcase);
	return suite;
}
