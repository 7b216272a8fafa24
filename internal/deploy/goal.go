package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/crs58/fleet/internal/flake"
)

// Goal is what is to become of a system on a machine.
type Goal string

// The goals. Test is not made permanent: the next boot takes the system of
// before. Boot takes effect at the next boot, to which Reboot comes at once.
// DryActivate only says what activating would do, Push only copies, and JustBuild
// reaches no machine but one that builds for itself.
const (
	Switch      Goal = "switch"
	Test        Goal = "test"
	Boot        Goal = "boot"
	Reboot      Goal = "reboot"
	DryActivate Goal = "dry-activate"
	Push        Goal = "push"
	JustBuild   Goal = "build"
)

// Changes tells whether a goal changes what a machine runs or boots.
func (g Goal) Changes() bool { return g != DryActivate && g != Push && g != JustBuild }

// reached tells whether a machine is where the goal leads.
func (g Goal) reached(f Facts, out string) bool {
	switch g {
	case Test:
		return f.System == out && f.Activating == "" && f.Deploy == nil
	case Boot:
		return f.Profile == out && f.Activating == "" && f.Deploy == nil
	case Reboot:
		return f.runs(out) && (f.Booted == "" || f.Booted == out)
	case DryActivate:
		return false
	}
	return f.runs(out)
}

// text says what is done to a system; nothing if it is only copied.
func (g Goal) text() string {
	switch g {
	case Test:
		return "activate until the next boot"
	case Boot:
		return "have the next boot take"
	case Reboot:
		return "restart into"
	case DryActivate:
		return "ask what would be done to activate"
	case Push, JustBuild:
		return ""
	}
	return "activate"
}

// check refuses a goal that machines of a class have not got.
func (g Goal) check(class flake.Class) error {
	if class == flake.Darwin && (g == Boot || g == Reboot || g == DryActivate) {
		return fmt.Errorf("nix-darwin has no %s: its systems are activated or not", g)
	}
	return nil
}

// errNoRestart says that a machine cannot be restarted by a deploy.
var errNoRestart = errors.New("cannot be restarted")

// restartable refuses what cannot be restarted into its system and confirmed then.
func (a Address) restartable() error {
	switch a.Kind {
	case Root:
		return fmt.Errorf("%s is a folder, which %w", a, errNoRestart)
	case Local:
		return fmt.Errorf("this computer %w from here and confirmed afterwards: use --goal boot, and reboot it yourself", errNoRestart)
	}
	return nil
}

// chooseReboot has the machine restart into its system where that was asked for
// and nothing less brings it up.
func (w *way) chooseReboot(ctx context.Context) error {
	if !w.s.Reboot {
		return nil
	}
	const script = `for part in kernel initrd kernel-modules; do
  [ ! -e "/run/booted-system/$part" ] || [ "$(readlink -f "/run/booted-system/$part")" = "$(readlink -f "$1/$part")" ] || echo "part=$part"
done
init() { cat "$1/init-interface-version" 2>/dev/null; }
[ -z "$(init /run/current-system)" ] || [ "$(init /run/current-system)" = "$(init "$1")" ] || echo part=init
inhibitors() { tr -d '\n' 2>/dev/null <"$1/switch-inhibitors"; }
echo "before=$(inhibitors /run/current-system)"
echo "after=$(inhibitors "$1")"`
	var parts []string
	said := map[string]string{}
	bounded, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	code, err := ask(bounded, w.t, []string{"/bin/sh", "-c", script, "fleet", w.s.Wanted.OutPath}, func(line string) {
		if name, value, _ := strings.Cut(line, "="); name == "part" {
			parts = append(parts, value)
		} else {
			said[name] = value
		}
	})
	if err == nil && code != 0 {
		err = &exitError{code: code}
	}
	if err != nil {
		return fmt.Errorf("compare what %s runs with its new system: %w", w.t, err)
	}
	if parts = append(parts, inhibits(said["before"], said["after"])...); len(parts) > 0 {
		w.d.emit(w.m.Name, Copy, Running, "a restart brings up "+strings.Join(parts, ", "))
		w.s.Goal = Reboot
	}
	return nil
}

// ask runs a program on the machine as root that changes nothing, and gives its
// exit status. What it prints, wherever to, is handed on line by line.
func ask(ctx context.Context, t Target, args []string, line func(string)) (int, error) {
	var mu sync.Mutex
	one := func(text string) { mu.Lock(); defer mu.Unlock(); line(text) }
	stdout, stderr := &lineSplitter{line: one}, &lineSplitter{line: one}
	err := t.Exec(ctx, args, true, stdout, stderr)
	stdout.flush()
	stderr.flush()
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code, nil
	}
	return 0, err
}

// dryActivate has the machine say what activating its new system would do.
func (w *way) dryActivate(ctx context.Context, r Result) Result {
	err := w.d.during(ctx, Activate, func() error {
		w.d.emit(w.m.Name, Activate, Started, "what activating would do")
		var log tail
		bounded, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Activate)
		defer cancel()
		code, err := ask(bounded, w.t, program(w.m.Class, w.s.Wanted.OutPath, string(DryActivate)), func(line string) {
			log.add(line)
			r.Output = append(r.Output, line)
			w.d.emit(w.m.Name, Activate, Running, line)
		})
		switch {
		case err != nil:
			return fmt.Errorf("ask %s what activating would do: %w", w.t, err)
		case code != 0:
			return fmt.Errorf("%s cannot tell what activating would do (exit status %d)%s", w.t, code, said(log.String()))
		}
		w.d.emit(w.m.Name, Activate, Done, "")
		return nil
	})
	if err != nil {
		return r.fail(ctx, Activate, err)
	}
	r.Message = "nothing was changed"
	return r
}
