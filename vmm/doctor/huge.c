// SPDX-License-Identifier: Apache-2.0
/* Huge pages, of both kinds. */
#include <string.h>

#include "vmm/doctor/doctor.h"
#include "vmm/lib/text.h"

#define THP "/sys/kernel/mm/transparent_hugepage/"

static void look_at_thp(struct findings *findings, const struct doctor_host *host)
{
	char word[32];
	if (!doctor_chosen(host, THP "enabled", word))
		return;
	if (strcmp(word, "never") == 0)
		finding_add(findings, FINDING_WARN, "huge pages",
			    "guests get small pages only, and are slower",
			    "echo madvise > " THP "enabled", "never");
	else
		finding_add(findings, FINDING_OK, "huge pages",
			    "guests get huge pages, because ebb asks for them", NULL, "%s", word);
}

static void look_at_defrag(struct findings *findings, const struct doctor_host *host)
{
	char word[32];
	if (!doctor_chosen(host, THP "defrag", word))
		return;
	if (strcmp(word, "never") == 0)
		finding_add(findings, FINDING_WARN, "defragmentation",
			    "guests get a huge page only when one happens to be free",
			    "echo madvise > " THP "defrag", "never");
	else
		finding_add(findings, FINDING_OK, "defragmentation",
			    "the host compacts memory to make huge pages for guests", NULL, "%s",
			    word);
}

static void look_at_shmem(struct findings *findings, const struct doctor_host *host)
{
	char word[32];
	if (!doctor_chosen(host, THP "shmem_enabled", word))
		return;
	bool small = strcmp(word, "never") == 0 || strcmp(word, "deny") == 0;
	finding_add(findings, FINDING_OK, "shared huge pages",
		    small ? "guests with --mem-backing memfd get small pages only"
			  : "guests with --mem-backing memfd can get huge pages",
		    small ? "echo advise > " THP "shmem_enabled" : NULL, "%s", word);
}

static void look_at_khugepaged(struct findings *findings, const struct doctor_host *host)
{
	uint64_t defrag;
	uint64_t holes;
	if (!doctor_number(host, THP "khugepaged/defrag", &defrag) ||
	    !doctor_number(host, THP "khugepaged/max_ptes_none", &holes))
		return;
	if (defrag && holes)
		finding_add(
			findings, FINDING_OK, "khugepaged",
			"it may take back single pages given up by a balloon, not reported blocks",
			"echo 0 > " THP "khugepaged/max_ptes_none",
			"makes huge pages even where up to %llu small ones are missing",
			(unsigned long long)holes);
	else
		finding_add(findings, FINDING_OK, "khugepaged",
			    "what a balloon gives up stays free", NULL, "leaves holes alone");
}

static void look_at_pool(struct findings *findings, const struct doctor_host *host)
{
	char meminfo[DOCTOR_FILE_MAX];
	char size_text[TEXT_SIZE_MAX];
	uint64_t total;
	uint64_t free_pages;
	uint64_t size;
	if (!doctor_read(host, "/proc/meminfo", meminfo, sizeof(meminfo)) ||
	    !doctor_line(meminfo, "HugePages_Total", 10, &total) ||
	    !doctor_line(meminfo, "HugePages_Free", 10, &free_pages) ||
	    !doctor_line(meminfo, "Hugepagesize", 10, &size))
		return;
	finding_add(findings, FINDING_OK, "huge page pool",
		    total ? "serves guests with --mem-backing hugetlbfs"
			  : "guests cannot use --mem-backing hugetlbfs",
		    total ? NULL : "sysctl vm.nr_hugepages=N (before memory is fragmented)",
		    "%llu of %llu pages of %s are free", (unsigned long long)free_pages,
		    (unsigned long long)total, text_size(size_text, size * 1024));
}

void doctor_huge(struct findings *findings, const struct doctor_host *host)
{
	look_at_thp(findings, host);
	look_at_defrag(findings, host);
	look_at_shmem(findings, host);
	look_at_khugepaged(findings, host);
	look_at_pool(findings, host);
}
