package deploy

import (
	"errors"
	"testing"
)

func TestForeignSystem(t *testing.T) {
	for text, want := range map[string]string{
		"error: a 'aarch64-darwin' with features {} is required to build '/nix/store/a.drv', but I am a 'x86_64-linux' with features {kvm}":                                                                   "aarch64-darwin",
		"error: an 'i686-linux' is required to build '/nix/store/a.drv'":                                                                                                                                      "i686-linux",
		"Cannot build '/nix/store/a.drv'.\nReason: required system or feature not available\nRequired system: 'aarch64-darwin' with features {}\nCurrent system: 'x86_64-linux' with features {big-parallel}": "aarch64-darwin",
		"builder for '/nix/store/a.drv' failed with exit code 1":                                                                                                                                              "",
	} {
		if got := foreignSystem(errors.New(text)); got != want {
			t.Errorf("%q is for %q, want %q", text, got, want)
		}
	}
}
