// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bootdisk/entries.h"

/* In the form that grub-mkconfig gives it. */
static const char grub[] =
	"set default=\"0\"\n"
	"function load_video {\n"
	"  insmod all_video\n"
	"}\n"
	"menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-7b9b' {\n"
	"\tload_video\n"
	"\techo\t'Loading Linux 6.1 ...'\n"
	"\tlinux\t/boot/vmlinuz-6.1 root=PARTUUID=5d4d ro \"dyndbg=file a +p\" $extra console=ttyS0,115200\n"
	"\tinitrd\t/boot/early.img ($root)/boot/initrd.img-6.1\n"
	"}\n"
	"submenu 'Advanced options' {\n"
	"\tmenuentry 'another' {\n"
	"\t\tlinux\t/boot/vmlinuz-5.10 single\n"
	"\t}\n"
	"}\n";

START_TEST(test_grub)
{
	struct boot_entry entry;

	ck_assert(entry_from_grub(grub, strlen(grub), "", &entry));
	ck_assert_str_eq(entry.kernel, "/boot/vmlinuz-6.1");
	ck_assert_str_eq(entry.params,
			 "root=PARTUUID=5d4d ro \"dyndbg=file a +p\" console=ttyS0,115200");
	static const char initrds[] = "/boot/early.img\0/boot/initrd.img-6.1\0";
	ck_assert_mem_eq(entry.initrds, initrds, sizeof(initrds));
}
END_TEST

/* Menus as grub-mkconfig nests them, each entry with a kernel of its own name, but for the firmware's. */
#define MENUS                                                                                             \
	"function savedefault {\n if [ -z \"${boot_once}\" ]; then\n saved_entry=\"${chosen}\"\n fi\n}\n" \
	"menuentry 'Debian' --class gnu $menuentry_id_option 'simple' {\n linux /debian\n}\n"             \
	"submenu 'More > all' $menuentry_id_option 'more' {\n"                                            \
	" menuentry 'Debian' --class gnu --id 'new' {\n  linux /new\n }\n"                                \
	" submenu 'Old' {\n  menuentry 'Debian 5' {\n   linux /old\n  }\n }\n"                            \
	" menuentry 'rescue' $menuentry_id_option 'rescue' {\n  linux /rescue\n }\n"                      \
	"}\n"                                                                                             \
	"menuentry 'Firmware' $menuentry_id_option 'firmware' {\n fwsetup\n}\n"                           \
	"menuentry 'Last' {\n linux /last\n}\n"

START_TEST(test_default)
{
	static const struct {
		const char *set, *kernel;
	} row[] = {
		{"", "/debian"},
		{"set default=\"0\"\n", "/debian"},
		{"set default='3'\n", "/last"},
		{"default=3\n", "/last"},
		{"set default=Last\n", "/last"},
		{"set default=\"1>0\"\n", "/new"},
		{"set default=\"1\"\n", "/new"},
		{"set default=\"1>1\"\n", "/old"},
		{"set default=\"more>rescue\"\n", "/rescue"},
		{"set default=\"More >> all>2\"\n", "/rescue"},
		{"set default=\"more>Old>Debian 5\"\n", "/old"},
		{"set default=\"more>1>0\"\n", "/old"},
		/* The last one counts; only the saved entry's variable is known. */
		{"set default=\"3\"\nset default=\"1>0\"\n", "/new"},
		{"if [ \"${next_entry}\" ] ; then\n set default=\"${next_entry}\"\nelse\n"
		 " set default=\"${saved_entry}\"\nfi\n",
		 "/rescue"},
		{"set default=\"3\"\nset default=\"${next_entry}\"\n", "/last"},
		/* GRUB takes the first of its menu where there is no such entry; here, one with a kernel. */
		{"set default=\"9\"\n", "/debian"},
		{"set default=\"99999999999999999999999\"\n", "/debian"},
		{"set default=\"rescue\"\n", "/debian"},
		{"set default=\"more>gone\"\n", "/debian"},
		{"set default=\"simple>0\"\n", "/debian"},
		{"set default=\"firmware\"\n", "/debian"},
	};
	char text[4096];
	struct boot_entry entry;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		snprintf(text, sizeof(text), "%s" MENUS, row[i].set);
		ck_assert_msg(entry_from_grub(text, strlen(text), "more>rescue", &entry), "%zu", i);
		ck_assert_msg(strcmp(entry.kernel, row[i].kernel) == 0, "%zu: %s", i, entry.kernel);
	}
}
END_TEST

/* Menus without end: the first entry with a kernel is taken. */
START_TEST(test_deep)
{
	char text[4096] = "set default=\"0>0>0>0>0>0>0>0>0>0\"\n";
	struct boot_entry entry;

	for (int i = 0; i < 100; i++)
		strcat(text, "submenu a {\n");
	strcat(text, "menuentry a {\nlinux /a\n}\n");
	ck_assert(entry_from_grub(text, strlen(text), "", &entry));
	ck_assert_str_eq(entry.kernel, "/a");
}
END_TEST

START_TEST(test_saved)
{
	static const char text[] =
		"# GRUB Environment Block\nboot_success=0\nsaved_entry=more>rescue\n####";
	char saved[ENTRY_FILES_SIZE], large[2 * ENTRY_FILES_SIZE];

	entry_saved(text, strlen(text), saved);
	ck_assert_str_eq(saved, "more>rescue");
	entry_saved("saved_entry=a", 13, saved);
	ck_assert_str_eq(saved, "a");
	entry_saved("saved_entry=", 12, saved);
	ck_assert_str_eq(saved, "");
	entry_saved("", 0, saved);
	ck_assert_str_eq(saved, "");
	memset(large, 'x', sizeof(large));
	memcpy(large, "saved_entry=", 12);
	entry_saved(large, sizeof(large), saved);
	ck_assert_str_eq(saved, "");
}
END_TEST

START_TEST(test_bls)
{
	static const char text[] = "# made by kernel-install\r\n"
				   "title Fedora Linux 41\r\n"
				   "version 6.11\n"
				   "linux /vmlinuz-6.11\n"
				   "initrd /initramfs-6.11.img $tuned_initrd\n"
				   "options root=UUID=1 ro rhgb\n"
				   "options $kernelopts quiet";
	struct boot_entry entry;

	ck_assert(entry_from_bls(text, strlen(text), &entry));
	ck_assert_str_eq(entry.kernel, "/vmlinuz-6.11");
	ck_assert_str_eq(entry.params, "root=UUID=1 ro rhgb quiet");
	static const char initrds[] = "/initramfs-6.11.img\0";
	ck_assert_mem_eq(entry.initrds, initrds, sizeof(initrds));
}
END_TEST

START_TEST(test_nothing)
{
	static const char *const text[] = {
		"",
		"\n\n",
		"menuentry 'a' {\n}\n",
		"linux /outside/of/an/entry\n",
		"menuentry a {\nlinux\n}",
		"menuentry a {\nlinux \"\"\n}",
		"menuentry a {\nlinux /a\x01z\n}",
	};
	struct boot_entry entry;
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		ck_assert_msg(!entry_from_grub(text[i], strlen(text[i]), "", &entry), "%zu", i);
	ck_assert(!entry_from_bls("title no kernel\n", 16, &entry));
}
END_TEST

/* What is too long is an error, never a part of it. */
START_TEST(test_too_long)
{
	static const char *const before[] = {"linux ", "linux /a\ninitrd ", "linux /a\noptions "};
	struct boot_entry entry;

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		char text[2 * ENTRY_PARAMS_SIZE];
		size_t len = strlen(before[i]);
		memset(text, 'x', sizeof(text));
		memcpy(text, before[i], len);
		ck_assert_msg(!entry_from_bls(text, sizeof(text), &entry), "%zu", i);
		for (size_t at = len + 1; at < sizeof(text); at += 2)
			text[at] = ' ';
		ck_assert_msg(i == 0 || !entry_from_bls(text, sizeof(text), &entry), "%zu words",
			      i);
	}
}
END_TEST

/* Any bytes: what comes out is a text that ends. */
START_TEST(test_any_bytes)
{
	static const char some[] = "\n\n  \t'\"\\$#()linuxinitrdoptionsmenuentry/{}>\0\xff";
	static const char *const start[] = {"menuentry a {\nlinux /boot",
					    "set default=a>b\nsubmenu a {\n", "saved_entry=a>>b\n"};
	struct boot_entry entry;
	char saved[ENTRY_FILES_SIZE];

	srand(1);
	for (int run = 0; run < 20000; run++) {
		size_t len = (size_t)(rand() % 400);
		char *text = malloc(len + 1); /* of exactly this size, for AddressSanitizer */
		for (size_t i = 0; i < len; i++)
			text[i] = some[(size_t)rand() % sizeof(some)];
		const char *begin = start[(size_t)rand() % 3];
		if (rand() % 2 && len > strlen(begin))
			memcpy(text, begin, strlen(begin));
		entry_from_bls(text, len, &entry);
		ck_assert(memchr(entry.kernel, 0, sizeof(entry.kernel)));
		entry_saved(text, len, saved);
		entry_from_grub(text, len, saved, &entry);
		ck_assert(memchr(entry.params, 0, sizeof(entry.params)));
		free(text);
	}
}
END_TEST

Suite *boot_entries_suite(void);
Suite *boot_entries_suite(void)
{
	Suite *suite = suite_create("boot_entries");
	TCase *tcase = tcase_create("boot_entries");
	tcase_add_test(tcase, test_grub);
	tcase_add_test(tcase, test_default);
	tcase_add_test(tcase, test_deep);
	tcase_add_test(tcase, test_saved);
	tcase_add_test(tcase, test_bls);
	tcase_add_test(tcase, test_nothing);
	tcase_add_test(tcase, test_too_long);
	tcase_add_test(tcase, test_any_bytes);
	suite_add_tcase(suite, tcase);
	return suite;
}
