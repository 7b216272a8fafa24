package deploy

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// The scripts that run on a machine, by its own /bin/sh and as root.
var (
	//go:embed script/inspect.sh
	inspectScript string
	//go:embed script/write.sh
	writeScript string
	//go:embed script/profile.sh
	profileScript string
	//go:embed script/activate.sh
	activateScript string
	//go:embed script/watch.sh
	watchScript string
	//go:embed script/forget.sh
	forgetScript string
)

// prelude finds programs where the PATH of a login without a terminal does not
// lead, and makes what they print the same everywhere. A Mac has no /run before
// its first activation, which makes it another name of /var/run.
const prelude = `PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
export PATH LC_ALL=C
run=/run
[ -d "$run" ] || run=/var/run
`

// shell runs one of our scripts on a machine as root and gives what it printed.
// The script and its arguments can be seen by others there; stdin cannot.
type shell interface {
	run(ctx context.Context, script string, stdin []byte, args ...string) (string, error)
}

// scripted is the part of a target that is the same for every machine with a
// shell of its own.
type scripted struct {
	shell shell
	name  string // the address
}

func (t *scripted) String() string { return t.name }

// Inspect runs one script for all there is to know.
func (t *scripted) Inspect(ctx context.Context, keyFile string) (Facts, error) {
	out, err := t.shell.run(ctx, inspectScript, nil, keyFile)
	if err != nil {
		return Facts{}, fmt.Errorf("look at %s: %w", t.name, err)
	}
	facts, err := parseFacts(out)
	if err != nil {
		return Facts{}, fmt.Errorf("look at %s: %w", t.name, err)
	}
	return facts, nil
}

// parseFacts reads what inspect.sh prints.
func parseFacts(text string) (Facts, error) {
	facts := Facts{HasStore: true}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "=")
		if !ok {
			continue // something that the login shell printed
		}
		switch name {
		case "uid":
			facts.root = value == "0"
		case "user":
			facts.user = value
		case "os":
			facts.os = value
		case "nixos":
			facts.nixos = true
		case "nix":
			facts.Nix = value
		case "system":
			facts.System = value
		case "booted":
			facts.Booted = value
		case "generation":
			facts.Generation = generationNumber(value)
		case "profile":
			facts.Profile = value
		case "activating":
			facts.Activating = value
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
		}
	}
	if facts.os == "" {
		return Facts{}, fmt.Errorf("its shell did not run the script: it printed %q", firstLine(text))
	}
	return facts, nil
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

func (t *scripted) WriteFile(ctx context.Context, name string, data []byte) error {
	if _, err := t.shell.run(ctx, writeScript, data, name, strconv.Itoa(len(data))); err != nil {
		return fmt.Errorf("write %s on %s: %w", name, t.name, err)
	}
	return nil
}

func (t *scripted) SetProfile(ctx context.Context, out string) error {
	if _, err := t.shell.run(ctx, profileScript, nil, out); err != nil {
		return fmt.Errorf("set the system profile of %s: %w", t.name, err)
	}
	return nil
}

// start begins an activation. It either runs on its own now, or an error that
// is not about the connection says that it does not.
func (t *scripted) start(ctx context.Context, a Activation) error {
	args := append([]string{a.ID, a.Out}, a.command()...)
	if _, err := t.shell.run(ctx, activateScript, nil, args...); err != nil {
		return fmt.Errorf("start the activation on %s: %w", t.name, err)
	}
	return nil
}

// watch is how an activation stood when it was last looked at.
type watch struct {
	position string // where its output was read to
	output   string // what it printed since then
	state    string // running, ended, killed or gone
	detail   string // the exit status, or what killed it
}

// look asks how an activation stands.
func (t *scripted) look(ctx context.Context, id string, last watch) (watch, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	out, err := t.shell.run(ctx, watchScript, nil, id, last.position)
	if err != nil {
		return watch{}, err
	}
	return parseWatch(out)
}

// parseWatch reads what watch.sh prints.
func parseWatch(text string) (watch, error) {
	const mark = "\nfleet: "
	at := strings.LastIndex(text, mark)
	if at < 0 {
		return watch{}, fmt.Errorf("how the activation stands cannot be read from %q", firstLine(text))
	}
	fields := strings.Fields(text[at+len(mark):])
	if len(fields) < 2 {
		return watch{}, fmt.Errorf("how the activation stands cannot be read from %q", firstLine(text[at+1:]))
	}
	w := watch{output: text[:at], state: fields[1]}
	if fields[0] != "-" {
		w.position = fields[0]
	}
	if len(fields) > 2 {
		w.detail = fields[2]
	}
	return w, nil
}

// The pauses between two looks at an activation grow from the first to the last.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// lookTimeout bounds one look at an activation.
const lookTimeout = time.Minute

// follow looks at an activation until it has ended. An error of the look itself
// goes to again, which says whether to go on.
func (t *scripted) follow(ctx context.Context, a Activation, again func(error) error) (int, error) {
	lines := &lineSplitter{line: a.Log}
	defer lines.flush()
	pause := firstPause
	for last := (watch{}); ; {
		now, err := t.look(ctx, a.ID, last)
		if err != nil {
			if err := again(err); err != nil {
				return 0, err
			}
			now = watch{position: last.position, state: "running"}
		}
		_, _ = lines.Write([]byte(now.output))
		last = now
		switch now.state {
		case "gone":
			return 0, fmt.Errorf("%w: %s forgot the activation; it was probably rebooted", ErrUnknown, t.name)
		case "ended":
			code, err := strconv.Atoi(now.detail)
			if err != nil {
				return 0, fmt.Errorf("%w: %s reports the exit status %q", ErrUnknown, t.name, now.detail)
			}
			t.forget(ctx, a.ID)
			return code, nil
		case "killed":
			t.forget(ctx, a.ID)
			return 0, fmt.Errorf("the activation on %s was killed (%s)", t.name, now.detail)
		}
		select {
		case <-time.After(pause):
			pause = min(pause*3/2, lastPause)
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: the activation on %s has not ended in time; it goes on there", ErrUnknown, t.name)
		}
	}
}

// forget tidies up on the machine; what it cannot remove does no harm and goes
// with the next boot.
func (t *scripted) forget(ctx context.Context, id string) {
	_, _ = t.shell.run(ctx, forgetScript, nil, id)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
