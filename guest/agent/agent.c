// SPDX-License-Identifier: Apache-2.0
/*
 * The first program of a guest of `ebb sandbox`: takes a command from the host (vmm/agent/wire.h), makes the file
 * tree for it, runs it, reports what became of it, and powers off. It trusts the host, and nothing in the guest
 * but the kernel: whatever the command does, as root, it cannot do to more than its own guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/agent/agent.h"
#include "guest/vsock.h"

#define FILES_MAX 1048576

static int control = -1;

/* --- the end ----------------------------------------------------------------------------------- */

static _Noreturn void power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* Reports, and waits until the host has heard it. */
static _Noreturn void report(struct agent_report what)
{
	struct pollfd closed = {.fd = control, .events = 0};

	if (control >= 0 && write(control, &what, sizeof(what)) == sizeof(what))
		while (poll(&closed, 1, -1) < 0 && errno == EINTR)
			;
	power_off();
}

_Noreturn void fail(const char *what)
{
	int error = errno ? errno : EINVAL;

	fprintf(stderr, "ebb-agent: cannot %s: %s\n", what, strerror(error));
	report((struct agent_report){AGENT_FAILED, (uint32_t)error});
}

/* --- the beginning ----------------------------------------------------------------------------- */

void run(char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		execv(argv[0], argv);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void begin(void)
{
	static char *const modules[] = {"/bin/coldplug", NULL};
	static char *const overlay[] = {"/bin/busybox", "modprobe", "-q", "overlay", NULL};
	const struct rlimit files = {1024, FILES_MAX};

	setenv("PATH", "/bin:/sbin", 1);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	setrlimit(RLIMIT_NOFILE, &files);
	/* A kernel of a distribution has its drivers beside it. */
	if (access("/lib/modules", F_OK) == 0) {
		run(modules);
		run(overlay);
	}
}

int dial(enum agent_stream stream)
{
	const struct vsock_address address = {
		.family = AF_VSOCK, .cid = VSOCK_CID_HOST, .port = AGENT_PORT + stream};
	const struct timeval limit = {.tv_sec = VSOCK_CONNECT_SECONDS};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("make a socket to the host: the kernel needs CONFIG_VIRTIO_VSOCKETS");
	setsockopt(fd, AF_VSOCK, VSOCK_CONNECT_TIMEOUT, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect to the host");
	return fd;
}

static void read_whole(void *to, size_t size)
{
	for (char *at = to; size;) {
		ssize_t n = read(control, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("read what to run");
		at += n;
		size -= (size_t)n;
	}
}

/* It sends what it should not. */
static _Noreturn void refuse_host(void)
{
	errno = EPROTO;
	fail("understand the host: the initrd is of another version of ebb");
}

static void take_record(struct wanted *wanted, char *record, size_t count[2])
{
	switch (record[0]) {
	case AGENT_ARGUMENT:
		wanted->argv[count[0]++] = record + 1;
		break;
	case AGENT_ENVIRONMENT:
		wanted->environment[count[1]++] = record + 1;
		break;
	case AGENT_DIR:
	case AGENT_LAYERED_DIR:
		wanted->dirs[wanted->dir_count++] =
			(struct wanted_dir){record + 1, record[0] == AGENT_LAYERED_DIR};
		break;
	case AGENT_FOLDER:
		wanted->folder = record + 1;
		break;
	default:
		refuse_host();
	}
}

static void read_command(struct wanted *wanted)
{
	struct agent_command *head = &wanted->head;
	size_t records = 0, count[2] = {0};

	read_whole(head, sizeof(*head));
	if (head->magic != AGENT_MAGIC || head->size > AGENT_RECORDS_MAX)
		refuse_host();
	wanted->records = malloc(head->size + 1);
	if (!wanted->records)
		fail("get memory");
	read_whole(wanted->records, head->size);
	wanted->records[head->size] = '\0';
	for (size_t i = 0; i < head->size; i++)
		records += !wanted->records[i];
	wanted->argv = calloc(records + 1, sizeof(char *));
	wanted->environment = calloc(records + 1, sizeof(char *));
	wanted->dirs = calloc(records + 1, sizeof(*wanted->dirs));
	if (!wanted->argv || !wanted->environment || !wanted->dirs)
		fail("get memory");
	for (char *at = wanted->records; at < wanted->records + head->size; at += strlen(at) + 1)
		take_record(wanted, at, count);
	if (!wanted->argv[0] || !wanted->folder)
		refuse_host();
}

static void start_network(bool wanted)
{
	static char *const lo[] = {"/bin/busybox", "ip", "link", "set", "lo", "up", NULL};
	static char *const up[] = {"/bin/busybox", "ip", "link", "set", "eth0", "up", NULL};
	static char *const dhcp[] = {"/bin/busybox",
				     "udhcpc",
				     "-i",
				     "eth0",
				     "-n",
				     "-q",
				     "-s",
				     "/etc/udhcpc/default.script",
				     NULL};
	run(lo);
	if (!wanted)
		return;
	run(up);
	run(dhcp);
}

int main(void)
{
	struct wanted wanted = {0};

	signal(SIGPIPE, SIG_IGN);
	begin();
	control = dial(AGENT_CONTROL);
	read_command(&wanted);
	start_network(wanted.head.network);
	make_root(&wanted);
	report(run_command(&wanted, control));
}
