package nix

import "syscall"

// dieWithUs has the kernel end a program when we are killed and cannot: one that
// builds is asked to, for it ends its builders then.
//
// The kernel goes by the thread that started the program. Threads of Go live as
// long as the process, but for one that a goroutine ends with while locked to
// it, which nothing here does.
func dieWithUs(attr *syscall.SysProcAttr, evaluates bool) {
	attr.Pdeathsig = syscall.SIGTERM
	if evaluates {
		attr.Pdeathsig = syscall.SIGKILL
	}
}
