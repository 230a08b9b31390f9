// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/paths.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The rights of each version, from the first one on: a kernel refuses those that it does not know. */
#define RIGHTS_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define RIGHTS_2 (RIGHTS_1 | 1ULL << 13) /* LANDLOCK_ACCESS_FS_REFER */
#define RIGHTS_3 (RIGHTS_2 | 1ULL << 14) /* LANDLOCK_ACCESS_FS_TRUNCATE */

/* As landlock.h has it since version 6, which a system's may be older than. */
struct ruleset {
	uint64_t files, networks, scopes;
};
/* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET: to those of others nobody can connect. */
#define SCOPE_ABSTRACT 1

static uint64_t rights(int version)
{
	return version == 1 ? RIGHTS_1 : version == 2 ? RIGHTS_2 : RIGHTS_3;
}

int paths_version(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return version < 0 ? -errno : (int)version;
}

int paths_restrict(int directory, enum paths_left left)
{
	static const uint64_t allowed[] = {
		[PATHS_REMOVE] = LANDLOCK_ACCESS_FS_REMOVE_FILE,
		[PATHS_NAMES] = LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
				LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_MAKE_REG,
	};
	int version = paths_version();
	if (version < 0)
		return version;
	const struct ruleset all = {.files = rights(version),
				    .scopes = version >= 6 ? SCOPE_ABSTRACT : 0};
	size_t size = version >= 6 ? sizeof(all) : sizeof(all.files);
	int rules = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
	if (rules < 0)
		return -errno;
	const struct landlock_path_beneath_attr there = {.allowed_access = allowed[left],
							 .parent_fd = directory};
	int error = 0;
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &there, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		error = -errno;
	close(rules);
	return error;
}
