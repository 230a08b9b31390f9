// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/fatal.h"

/* See terminal_discard_answers(). */
#define ANSWER_MS  250
#define ANSWERS_MS 1000

/*
 * Writable state of file scope: a terminal belongs to the process, not to a machine in it, and
 * neither exit() nor signal handlers take an argument that could point to it.
 */
static struct {
	volatile sig_atomic_t raw; /* fd and cooked are valid, and put_back() is registered */
	int fd;
	struct termios cooked; /* the settings to restore */
	bool at_exit;
	struct fatal_undo undo;
} terminal;

bool terminal_is_ours(int fd)
{
	pid_t foreground = tcgetpgrp(fd);
	/* Without job control (init's console, a serial line) no other process has the terminal. */
	return foreground < 0 ? errno == ENOTTY && isatty(fd) : foreground == getpgrp();
}

/* Safe in a signal handler. */
static void put_back(void *ctx)
{
	(void)ctx;
	if (terminal.raw && terminal_is_ours(terminal.fd))
		tcsetattr(terminal.fd, TCSANOW, &terminal.cooked);
}

int terminal_raw(int fd)
{
	if (terminal.raw && terminal.fd != fd)
		return -EBUSY;
	if (!terminal_is_ours(fd))
		return -ENOTTY;
	if (!terminal.raw) {
		if (tcgetattr(fd, &terminal.cooked) < 0)
			return -errno;
		terminal.fd = fd;
		terminal.undo.undo = put_back;
		fatal_undo_add(&terminal.undo);
		fatal_take();
		terminal.raw = 1;
		if (!terminal.at_exit)
			terminal.at_exit = atexit(terminal_restore) == 0;
	}

	/* Keep output processing: our own lines end in a bare newline. */
	struct termios raw = terminal.cooked;
	raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_lflag &= ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	return tcsetattr(fd, TCSANOW, &raw) < 0 ? -errno : 0;
}

void terminal_discard_answers(void)
{
	struct pollfd pollfd = {.fd = terminal.fd, .events = POLLIN};
	uint64_t limit = clock_ns() + ANSWERS_MS * NS_PER_MS;
	/* Do not use tcdrain(): it waits for ever if no process reads the terminal's other side. */
	while (terminal.raw && terminal_is_ours(terminal.fd) && clock_ns() < limit &&
	       poll(&pollfd, 1, ANSWER_MS) == 1 && !(pollfd.revents & (POLLHUP | POLLERR)))
		tcflush(terminal.fd, TCIFLUSH);
}

void terminal_restore(void)
{
	if (!terminal.raw)
		return;
	if (terminal_is_ours(terminal.fd))
		tcflush(terminal.fd, TCIFLUSH);
	put_back(NULL);
	terminal.raw = 0;
	fatal_undo_remove(&terminal.undo);
	fatal_give_back();
}
