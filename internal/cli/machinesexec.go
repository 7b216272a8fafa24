package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
)

// execOptions are the flags of machines exec.
type execOptions struct {
	choice
	root, blocks bool
	parallel     int
	timeout      time.Duration
}

func (a *App) machinesExecCmd() *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec [SELECTION...] [flags] -- COMMAND [ARG...]",
		Short: "Run a command on machines",
		Long: `Run a command on the selected machines, side by side, and print what it prints
behind the machine's name. It runs as the user that the machine's address names,
or with --root as root. Its arguments arrive as they are written here; for pipes
and variables name a shell. It gets no input.`,
		Example: `  fleet machines exec --all -- uname -r
  fleet machines exec tag:server --blocks -- systemctl --failed
  fleet machines exec cinnabar --root -- sh -c 'journalctl -b | tail -n 20'
  fleet machines exec --all --json -- nixos-version | jq -r 'select(.event) | .event.text'`,
		DisableFlagsInUseLine: true,
		Args:                  cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			// The command and its own arguments. cmd.ArgsLenAtDash does not tell: cobra
			// adds a -- of its own.
			if slices.Contains(a.args[:len(a.args)-1], "--") {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.completeMachines(cmd, args, word)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			switch {
			case dash < 0:
				return usageError(cmd, errors.New("no command is given: write it after --"))
			case dash == len(args):
				return usageError(cmd, errors.New("no command is given: there is nothing after --"))
			case o.timeout <= 0 || o.parallel <= 0:
				return usageError(cmd, errors.New("--timeout and --parallel must be more than 0"))
			}
			return a.onTargets(cmd.Context(), o.of(args[:dash]), func(ctx context.Context, s *session, machines []deploy.Machine) error {
				return s.exec(ctx, machines, args[dash:], o)
			})
		},
	}
	flags := cmd.Flags()
	o.choice.flags(cmd)
	flags.BoolVar(&o.root, "root", false, "run it as root")
	flags.BoolVar(&o.blocks, "blocks", false, "print what a machine printed when it has ended, as one block")
	flags.IntVar(&o.parallel, "parallel", 32, "machines at once")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long the command may take on each machine")
	return cmd
}

// executed is the end of machines exec --json.
type executed struct {
	Machines []deploy.Ran `json:"machines"`
}

func (s *session) exec(ctx context.Context, machines []deploy.Machine, args []string, o execOptions) error {
	p := s.progress()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &machineOutput{s: s, blocks: map[string]*strings.Builder{}, stop: cancel}
	for _, m := range machines {
		out.pad = max(out.pad, len(m.Name))
	}
	d := s.deployer(p, func(d *deploy.Options) {
		if !o.root {
			d.Dial = s.reach
		}
		d.OnEvent = func(e deploy.Event) {
			if e.Phase == deploy.End && o.blocks {
				out.block(e.Machine)
			}
			p.deploy(e)
		}
	})
	defer d.Close()
	show := out.line
	switch {
	case s.config.JSON:
		show = func(l deploy.Line) { out.note(s.line("event", l)) }
	case o.blocks:
		show = out.keep
	}
	list := d.Exec(ctx, machines, deploy.Command{Args: args, Root: o.root, Timeout: o.timeout, Parallel: o.parallel, OnLine: show})
	p.clear()
	summary := &deploy.Summary{}
	for _, r := range list {
		summary.Results = append(summary.Results, r.Result)
	}
	if s.config.JSON {
		out.note(s.result(executed{list}))
		return cmp.Or(out.err, exit(summary.ExitCode()))
	}
	s.sayProblems(summary)
	if len(list) > 1 {
		s.Streams.Say("%s", summary.Text())
	}
	return cmp.Or(out.err, exit(summary.ExitCode()))
}

// machineOutput prints what machines print, each line or each machine for itself.
type machineOutput struct {
	s      *session
	pad    int // the width of the longest name
	blocks map[string]*strings.Builder
	// stop ends the commands: of what they go on to print nobody would read a word.
	stop func()
	err  error // that output cannot be written
}

// line prints a line behind its machine's name, on the stream that it came from.
func (o *machineOutput) line(l deploy.Line) {
	o.print(l.Stream, fmt.Sprintf("%-*s | %s\n", o.pad, l.Machine, o.safe(l.Text)))
}

// maxBlock is how much of a machine's output is held back for a block.
const maxBlock = 1 << 20

// keep holds a line back until its machine has ended.
func (o *machineOutput) keep(l deploy.Line) {
	b := o.blocks[l.Machine]
	if b == nil {
		b = &strings.Builder{}
		o.blocks[l.Machine] = b
	}
	b.WriteString(o.safe(l.Text) + "\n")
	if b.Len() > maxBlock {
		o.block(l.Machine)
	}
}

// block prints what a machine printed so far.
func (o *machineOutput) block(machine string) {
	if b := o.blocks[machine]; b != nil {
		o.print(deploy.Stdout, o.s.Streams.PaintOut(term.Bold, machine+":")+"\n"+b.String())
		delete(o.blocks, machine)
	}
}

// safe makes text of a machine harmless to a terminal; elsewhere it is data.
func (o *machineOutput) safe(text string) string {
	if o.s.Streams.OutTTY {
		return term.Clean(text)
	}
	return text
}

func (o *machineOutput) print(stream deploy.Stream, text string) {
	to := o.s.Streams.Out
	if stream == deploy.Stderr {
		to = o.s.Streams.Err
	}
	o.note(o.s.Streams.Print(to, text))
}

// note has the first error of writing end what there is to write of.
func (o *machineOutput) note(err error) {
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("print what the command printed: %w", err)
		o.stop()
	}
}
