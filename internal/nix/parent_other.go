//go:build !linux

package nix

import "syscall"

// dieWithUs does nothing where no kernel does it for us.
func dieWithUs(*syscall.SysProcAttr, bool) {}
