package deploy

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// The scripts that run on a machine, by its own /bin/sh and as root.
var (
	//go:embed script/inspect.sh
	inspectScript string
	//go:embed script/write.sh
	writeScript string
	//go:embed script/claim.sh
	claimScript string
	//go:embed script/begin.sh
	beginScript string
	//go:embed script/launch.sh
	launchScript string
	//go:embed script/supervise.sh
	superviseScript string
	//go:embed script/watch.sh
	watchScript string
	//go:embed script/decide.sh
	decideScript string
	//go:embed script/mark.sh
	markScript string
	//go:embed script/adopt.sh
	adoptScript string
)

// prelude finds programs where the PATH of a login without a terminal does not
// lead, and makes what they print the same everywhere. A Mac has no /run before
// its first activation, which makes it another name of /var/run. What is in
// state outlives a reboot, what is in run does not.
const prelude = searchPath + `export LC_ALL=C
state=/var/lib/fleet
run=/run
[ -d "$run" ] || run=/var/run
# first VARIABLE FILE: the first line of a file; nothing if there is none.
first() { { read -r "$1" <"$2"; } 2>/dev/null || eval "$1="; }
# read_plan FILE sets plan_NAME for each of its lines NAME=VALUE.
read_plan() {
  plan_since="" plan_token=""
  [ -r "$1" ] || return 0
  while IFS= read -r plan_line; do
    plan_key=${plan_line%%=*}
    case $plan_key in '' | *[!a-z]*) ;; *) eval "plan_$plan_key=\${plan_line#*=}" ;; esac
  done <"$1"
}
# whole DEPLOY: its folder is there, and no power cut has emptied it: since is the
# last line of its plan, which is read.
whole() {
  read_plan "$state/$1/plan"
  [ -n "$plan_since" ] && [ -s "$state/$1/supervise" ]
}
# under_way sets under to the name of the deploy that has the machine, and reads its plan.
under_way() {
  first under "$state/current"
  whole "$under" || under=
}
# uptime sets up to the seconds since the machine was booted.
uptime() {
  if [ -d /Library/LaunchDaemons ]; then # a Mac, whose clock takes the time of its boot along when it jumps
    up=$(($(date +%s) - $(sysctl -n kern.boottime | sed 's/^{ sec = \([0-9]*\).*/\1/')))
  else
    first up /proc/uptime
    up=${up%%.*}
  fi
}
failed_jobs() { # of launchd, but for Apple's and those that a stop has ended, or that run again
  launchctl list | awk '$1 == "-" && $2 != 0 && $2 !~ /^-(1|2|13|15)$/ && $3 !~ /^com\.apple\./ { print $3 }'
}
`

// searchPath is the part of prelude that is good for other programs too.
const searchPath = `PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
export PATH
`

// shell runs one of our scripts on a machine as root. The script and its
// arguments can be seen by others there; stdin cannot.
type shell interface {
	run(ctx context.Context, script string, stdin io.Reader, stdout io.Writer, args ...string) error
}

// scriptCommand is the command line of one of our scripts.
func scriptCommand(script string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", prelude + script, "fleet"}, args...)
}

// scripted is the part of a target that is the same for every machine with a
// shell of its own.
type scripted struct {
	shell shell
	name  string // the address
}

func (t *scripted) String() string { return t.name }

// output runs a script and gives what it printed.
func (t *scripted) output(ctx context.Context, script string, stdin []byte, args ...string) (string, error) {
	var out limitedText
	err := t.shell.run(ctx, script, bytes.NewReader(stdin), &out, args...)
	return out.String(), err
}

// scriptError says that a script of ours failed on a machine.
type scriptError struct {
	code int
	said string
}

func (e *scriptError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.said
}

// How begin.sh says that another deploy is under way, and that nothing would take
// a reboot back.
const (
	codeBusy    = 75
	codeUnarmed = 76
)

// Inspect runs one script for all there is to know.
func (t *scripted) Inspect(ctx context.Context, keyFile, deploy string) (Facts, error) {
	out, err := t.output(ctx, inspectScript, nil, keyFile, deploy)
	if err != nil {
		return Facts{}, fmt.Errorf("look at %s: %w", t.name, err)
	}
	facts, err := parseFacts(out)
	if err != nil {
		return Facts{}, fmt.Errorf("look at %s: %w", t.name, err)
	}
	return facts, nil
}

func (t *scripted) WriteFile(ctx context.Context, name string, data []byte) error {
	if _, err := t.output(ctx, writeScript, data, name, strconv.Itoa(len(data))); err != nil {
		return fmt.Errorf("write %s on %s: %w", name, t.name, err)
	}
	return nil
}

// Mark notes that a system's activation begins, or, of none, that it has ended.
func (t *scripted) Mark(ctx context.Context, system string) error {
	if _, err := t.output(ctx, markScript, nil, system); err != nil {
		return fmt.Errorf("note on %s how its activation stands: %w", t.name, err)
	}
	return nil
}

// Begin stages the activation. It either runs on its own now, or an error that
// is not about the connection says that it does not.
func (t *scripted) Begin(ctx context.Context, a Activation) error {
	plan := a.plan()
	_, err := t.output(ctx, beginScript, []byte(plan), a.ID, strconv.Itoa(len(plan)), prelude+superviseScript, prelude+launchScript)
	var failed *scriptError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed) && failed.code == codeBusy:
		facts, err := t.Inspect(ctx, "", "")
		if err != nil || facts.Deploy == nil {
			return &BusyError{Target: t.name}
		}
		return facts.Deploy.busy(t.name)
	case errors.As(err, &failed) && failed.code == codeUnarmed:
		return fmt.Errorf("a restart of %s could not be taken back: %w; use --goal boot, and reboot it yourself", t.name, failed)
	}
	return fmt.Errorf("begin the activation on %s: %w", t.name, err)
}

// lookTimeout bounds one look at an activation.
const lookTimeout = time.Minute

func (t *scripted) Look(ctx context.Context, id string, last Progress, wait time.Duration) (Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	fifths := int(wait / (time.Second / 5))
	out, err := t.output(ctx, watchScript, nil, id, last.Position, string(last.Stand), strconv.Itoa(fifths))
	if err != nil {
		return Progress{}, err
	}
	return parseProgress(out)
}

// parseProgress reads what watch.sh prints.
func parseProgress(text string) (Progress, error) {
	const mark = "\nfleet: "
	unreadable := func(what string) (Progress, error) {
		return Progress{}, fmt.Errorf("how the activation stands cannot be read from %q", firstLine(what))
	}
	at := strings.LastIndex(text, mark)
	if at < 0 {
		return unreadable(text)
	}
	line := text[at+1:]
	fields := append(strings.Fields(text[at+len(mark):]), "", "", "", "")
	p := Progress{Output: text[:at], Code: -1}
	if fields[0] != "-" {
		p.Position = fields[0]
	}
	code := ""
	switch state := fields[1]; state {
	case "gone", "dead":
		p.Stand = Stand(state)
	case "running":
		p.Stand, code = Stand(fields[2]), fields[3]
		switch p.Stand {
		case Activating, Waiting, Committing, Rebooting, RollingBack:
		default:
			return unreadable(line)
		}
	case "ended":
		p.Stand, p.Ending = Ended, Ending(fields[2])
		switch p.Ending {
		case EndDone:
			code = fields[3]
		case EndRolledBack, EndFailed, EndStranded:
			p.Cause, code = Cause(fields[3]), fields[4]
		default:
			return unreadable(line)
		}
	default:
		return unreadable(line)
	}
	if n, err := strconv.Atoi(code); err == nil {
		p.Code = n
	}
	return p, nil
}

func (t *scripted) Decide(ctx context.Context, id, token string, wanted Decision) (Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	out, err := t.output(ctx, decideScript, []byte(token+"\n"), id, string(wanted))
	if err != nil {
		return "", fmt.Errorf("tell %s that its new system is %s: %w", t.name, wanted, err)
	}
	lines := strings.Fields(out) // a login shell may have printed before
	if len(lines) == 0 {
		return "", fmt.Errorf("tell %s that its new system is %s: it gives no answer", t.name, wanted)
	}
	return Decision(lines[len(lines)-1]), nil
}

func (t *scripted) Settle(ctx context.Context) error {
	if _, err := t.output(ctx, launchScript, nil); err != nil {
		return fmt.Errorf("settle the deploy that was cut off on %s: %w", t.name, err)
	}
	return nil
}

// Adopt reads the plan of an activation.
func (t *scripted) Adopt(ctx context.Context, id string) (Activation, error) {
	out, err := t.output(ctx, adoptScript, nil, id)
	if err != nil {
		return Activation{}, fmt.Errorf("look for a deploy on %s: %w", t.name, err)
	}
	a, err := parsePlan(out)
	if err != nil {
		return Activation{}, fmt.Errorf("look for a deploy on %s: %w", t.name, err)
	}
	return a, nil
}

// parsePlan reads what adopt.sh prints: a plan as [Activation.plan] writes it,
// with the activation's name.
func parsePlan(text string) (Activation, error) {
	var a Activation
	for name, value := range pairs(text) {
		n, _ := strconv.Atoi(value)
		switch name {
		case "id":
			a.ID = value
		case "out":
			a.Out = value
		case "class":
			a.Class = flake.Class(value)
		case "goal":
			a.Goal = Goal(value)
		case "generation":
			a.Generation = n
		case "owner":
			a.Owner = value
		case "health":
			if json.Unmarshal([]byte(value), &a.Health) != nil {
				return Activation{}, fmt.Errorf("its health checks cannot be read from %q", value)
			}
		case "secrets":
			if json.Unmarshal([]byte(value), &a.Secrets) != nil {
				return Activation{}, fmt.Errorf("the files with its secrets cannot be read from %q", value)
			}
		case "token":
			a.Token = value
		case "limit":
			a.Limit = time.Duration(n) * time.Second
		case "window":
			a.Window = time.Duration(n) * time.Second
		}
	}
	if a.ID == "" || a.Out == "" {
		return Activation{}, errNoActivation
	}
	return a, nil
}
