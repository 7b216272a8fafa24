package deploy

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
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
	// Created is when the generation was made, by the machine's clock.
	Created time.Time `json:"created,omitzero"`
	// Activating is a system whose activation began and has not succeeded, if that
	// does not show otherwise: its process here was killed, it brings but secrets,
	// or the system ran before.
	Activating string `json:"activating,omitempty"`
	// Deploy is the deploy that is under way.
	Deploy *Underway `json:"deploy,omitempty"`
	// Key describes the machine's age key file.
	Key KeyFile `json:"-"`
	// FailedUnits are the systemd units that have failed, sorted; on a Mac the jobs
	// of launchd that do not run because they did, without Apple's own.
	FailedUnits []string `json:"failedUnits,omitempty"`
	// RebootNeeded tells that the kernel, its modules or the initial RAM disk are
	// not those of the system that runs.
	RebootNeeded bool `json:"rebootNeeded,omitempty"`
	// Systemd tells whether the machine runs systemd.
	Systemd bool `json:"systemd"`
	// Nix is the package of the machine's Nix, such as nix-2.31.1; it is known only of
	// one in a Nix store.
	Nix string `json:"nix,omitempty"`
	// HasStore tells whether there is a Nix store to ask.
	HasStore bool `json:"-"`
	// Store is the file system that holds /nix/store.
	Store Disk `json:"store"`

	// claim is that of a run which prepares a deploy, if there is one.
	claim *BusyError
	// restarting are the units that systemd will try again to start.
	restarting []string
	// failedBefore are the units that had failed before the deploy that was asked about.
	failedBefore []string
	// daemon is the path of nix-daemon.
	daemon string
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

// Underway is a deploy that a machine is in the middle of.
type Underway struct {
	// ID names it, Out is its system and Owner who began it.
	ID    string `json:"id"`
	Out   string `json:"out"`
	Owner string `json:"owner,omitempty"`
	// Stand is where it is; empty after a reboot.
	Stand Stand `json:"stand,omitempty"`
	// Seconds is its age; 0 after a reboot.
	Seconds int `json:"seconds,omitempty"`
	// Live tells whether its supervisor runs; one that does not is to be settled.
	Live bool `json:"live"`
}

func (u *Underway) busy(target string) *BusyError {
	return &BusyError{Target: target, Owner: u.Owner, Age: time.Duration(u.Seconds) * time.Second, ID: u.ID}
}

// runs tells whether the machine is at out in every respect: running it,
// booting it, and not in the middle of an activation.
func (f Facts) runs(out string) bool {
	return f.System == out && f.Profile == out && f.Activating == "" && f.Deploy == nil
}

// claimed says that another run than this one has claimed the machine; nil where
// none has.
func (f Facts) claimed(target, run string) error {
	if f.claim == nil || run != "" && f.claim.Run == run {
		return nil
	}
	busy := *f.claim
	busy.Target = target
	return &busy
}

func (f Facts) place() Place { return Place{System: f.System, Generation: f.Generation} }

// newlyFailed are the units that failed since the deploy that was asked about
// began. A unit that is tried again may be meant to be: it counts where the
// activation says that units failed.
func (f Facts) newlyFailed(code int) []string {
	bad := f.FailedUnits
	if code == codeUnitsFailed {
		bad = append(slices.Clone(bad), f.restarting...)
	}
	var units []string
	for _, u := range bad {
		if !slices.Contains(f.failedBefore, u) {
			units = append(units, u)
		}
	}
	slices.Sort(units)
	return units
}

// parseFacts reads what inspect.sh prints.
func parseFacts(text string) (Facts, error) {
	facts := Facts{HasStore: true}
	under := Underway{}
	for name, value := range pairs(text) {
		switch name {
		case "uid":
			facts.root = value == "0"
		case "user":
			facts.user = value
		case "os":
			facts.os = value
		case "nixos":
			facts.nixos = true
		case "nixdaemon":
			facts.daemon = value
		case "nix":
			facts.Nix = value
		case "system":
			facts.System = value
		case "booted":
			facts.Booted = value
		case "rebootneeded":
			facts.RebootNeeded = true
		case "generation":
			facts.Generation = generationNumber(value)
		case "profile":
			facts.Profile = value
		case "created":
			facts.Created = parseTime(value)
		case "activating":
			facts.Activating = value
		case "deploy":
			under.ID = value
		case "deployout":
			under.Out = value
		case "deployowner":
			under.Owner = value
		case "deployage":
			under.Seconds, _ = strconv.Atoi(value)
		case "deployphase":
			under.Stand = Stand(value)
		case "deploylive":
			under.Live = true
		case "claim":
			facts.claim = parseClaim(value)
		case "keyhidden":
			facts.Key.Hidden = true
		case "keydigest":
			facts.Key.Digest = value
		case "keymode":
			mode, err := strconv.ParseUint(value, 8, 32)
			if err != nil {
				return Facts{}, fmt.Errorf("the mode %q of the key file is no number", value)
			}
			facts.Key.Mode = fs.FileMode(mode)
		case "disk":
			facts.Store = parseDisk(value)
		case "systemd":
			facts.Systemd = true
		case "failed":
			facts.FailedUnits = append(facts.FailedUnits, value)
		case "restarting":
			facts.restarting = append(facts.restarting, value)
		case "failedbefore":
			facts.failedBefore = append(facts.failedBefore, value)
		}
	}
	if facts.os == "" {
		return Facts{}, notRun(text)
	}
	if under.ID != "" {
		facts.Deploy = &under
	}
	return facts, nil
}

// parseTime reads seconds since 1970; what is none is no time.
func parseTime(text string) time.Time {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// parseDisk reads "TOTAL FREE MOUNT" with the sizes in KiB; what cannot be read
// is unknown.
func parseDisk(text string) Disk {
	fields := strings.SplitN(text, " ", 3)
	if len(fields) != 3 {
		return Disk{}
	}
	total, err1 := strconv.ParseInt(fields[0], 10, 64)
	free, err2 := strconv.ParseInt(fields[1], 10, 64)
	if err1 != nil || err2 != nil {
		return Disk{}
	}
	return Disk{Mount: fields[2], Free: free * 1024, Total: total * 1024}
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
