// SPDX-License-Identifier: Apache-2.0
#include <cap-ng.h>
#include <check.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/mem/present.h"

#define IN_MEMORY (1ULL << 63)
#define FRAME	  ((1ULL << 55) - 1)

/* What the pagemap @fd says of the page of @address. Closes @fd. */
static uint64_t entry_of(int fd, const void *address)
{
	uint64_t entry = 0;
	off_t page = (off_t)((uintptr_t)address / (uintptr_t)sysconf(_SC_PAGESIZE));

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &entry, sizeof(entry), page * (off_t)sizeof(entry)),
			 sizeof(entry));
	close(fd);
	return entry;
}

static bool is_capable(void)
{
	ck_assert_int_eq(capng_get_caps_process(), 0);
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
}

/* Where the page is in the host's memory is told to who opens the file with CAP_SYS_ADMIN; present_open() does not. */
START_TEST(no_frame_numbers)
{
	char here = 'x';
	bool before = is_capable();
	uint64_t entry = entry_of(present_open(), &here);

	ck_assert(entry & IN_MEMORY);
	ck_assert_uint_eq(entry & FRAME, 0);
	ck_assert(is_capable() == before);
	uint64_t told = entry_of(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), &here);
	if (!(told & FRAME))
		printf("SKIPPED: the control needs root's capabilities, which show frame numbers\n");
	else
		ck_assert_uint_eq(told & ~FRAME, entry);
}
END_TEST

Suite *present_suite(void);

Suite *present_suite(void)
{
	Suite *suite = suite_create("present");
	TCase *tcase = tcase_create("opening");

	tcase_add_test(tcase, no_frame_numbers);
	suite_add_tcase(suite, tcase);
	return suite;
}
