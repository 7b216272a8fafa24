package deploy

import (
	"fmt"
	"io/fs"
	"slices"
)

// Facts is what a look at a machine found. Paths are as the machine sees them;
// what is not there is empty.
type Facts struct {
	// System runs now, Booted was booted, Profile is what the system profile
	// leads to, and Generation its number.
	System     string `json:"system,omitempty"`
	Booted     string `json:"booted,omitempty"`
	Profile    string `json:"profile,omitempty"`
	Generation int    `json:"generation,omitempty"`
	// Activating is a system whose activation was begun and has not succeeded.
	Activating string `json:"activating,omitempty"`
	// Key describes the machine's age key file.
	Key KeyFile `json:"-"`
	// FailedUnits are the systemd units that have failed, sorted.
	FailedUnits []string `json:"failedUnits,omitempty"`
	// Systemd tells whether the machine runs systemd.
	Systemd bool `json:"systemd"`
	// Nix is the version of the machine's Nix; it matters for SSH only.
	Nix string `json:"nix,omitempty"`
	// HasStore tells whether there is a Nix store to ask.
	HasStore bool `json:"-"`
	// Store is the file system that holds /nix/store.
	Store Disk `json:"store"`

	// Who we are there and what it is: root, user, os (uname -s), nixos.
	root  bool
	user  string
	os    string
	nixos bool
}

// KeyFile is an age key file as found on a machine.
type KeyFile struct {
	Digest string // SHA-256 in hex; empty if there is no file
	Mode   fs.FileMode
	// Hidden says that only root could tell, and we are not.
	Hidden bool
}

// runs tells whether the machine is at out in every respect: running it,
// booting it, and not in the middle of an activation.
func (f Facts) runs(out string) bool {
	return f.System == out && f.Profile == out && f.Activating == ""
}

// newlyFailed are the units that failed since an earlier look.
func (f Facts) newlyFailed(before Facts) []string {
	var units []string
	for _, u := range f.FailedUnits {
		if !slices.Contains(before.FailedUnits, u) {
			units = append(units, u)
		}
	}
	return units
}

// Disk is a file system of a machine.
type Disk struct {
	Mount string `json:"mount"`
	Free  int64  `json:"free"`
	Total int64  `json:"total"`
}

// String tells how much room there is.
func (d Disk) String() string {
	return fmt.Sprintf("%s, %s of %s free", d.Mount, bytesText(d.Free), bytesText(d.Total))
}

// bytesText writes a number of bytes for people.
func bytesText(n int64) string {
	const unit = 1000
	value, suffix := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if value < unit {
			break
		}
		value, suffix = value/unit, next
	}
	if suffix == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, suffix)
}
