/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this host is fit for guests: what is found in /proc and /sys, what it means for ebb's guests,
 * and what to change. Decided from files' contents alone, below a root that tests can choose.
 *
 * Thread: any.
 */
#ifndef EBB_DOCTOR_DOCTOR_H
#define EBB_DOCTOR_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/kvm/vm.h"

enum finding_level {
	FINDING_OK,
	FINDING_WARN, /* guests run, but not as well as they could */
	FINDING_FAIL, /* no guest runs */
};

struct finding {
	enum finding_level level;
	const char *about;  /* "swap" */
	char what[192];	    /* what was found */
	const char *means;  /* for ebb's guests */
	const char *change; /* the command that changes it, or NULL: nothing need be */
};

#define FINDINGS_MAX 64

struct findings {
	struct finding finding[FINDINGS_MAX];
	unsigned int count; /* those beyond the maximum are left out */
};

/* What there is no file for. */
struct doctor_host {
	const char *root; /* "" for the real one; /proc and /sys are looked for below it */
	bool x86;
	struct vm_probe kvm;
	uint64_t limit_memlock, limit_as, limit_data; /* bytes; UINT64_MAX: none */
	int runtime_error;   /* of looking into the runtime directory: 0 or -errno */
	unsigned int guests; /* that live now */
};

void doctor_look(struct findings *findings, const struct doctor_host *host);

/* The parts of it. */
void doctor_kvm(struct findings *findings, const struct doctor_host *host);
void doctor_memory(struct findings *findings, const struct doctor_host *host);
void doctor_huge(struct findings *findings, const struct doctor_host *host);
void doctor_process(struct findings *findings, const struct doctor_host *host);

/* --- for the parts --------------------------------------------------------------------------- */

#define DOCTOR_FILE_MAX 16384 /* bytes of a file that are looked at */

__attribute__((format(printf, 6, 7))) void finding_add(struct findings *findings,
						       enum finding_level level, const char *about,
						       const char *means, const char *change,
						       const char *what, ...);

/* The file's text without its last newline, cut off at @size. Whether it could be read. */
bool doctor_read(const struct doctor_host *host, const char *path, char *text, size_t size);
bool doctor_number(const struct doctor_host *host, const char *path, uint64_t *number);

/* Of "always [madvise] never" what is chosen, into @word (of 32 bytes). */
bool doctor_chosen(const struct doctor_host *host, const char *path, char *word);

/* The number after "@key:" in a file of such lines. */
bool doctor_line(const char *text, const char *key, int base, uint64_t *number);

#endif
