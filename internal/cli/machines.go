package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

func (a *App) machinesCmd() *cobra.Command {
	cmd := parent("machines", "List, build, update, look at and run commands on machines",
		"List, build, update, look at and run commands on machines, many at once.",
		"  fleet machines list\n  fleet machines update --all\n  fleet machines status tag:server")
	cmd.AddCommand(
		a.machinesListCmd(), a.machinesBuildCmd(), a.machinesDiffCmd(), a.machinesUpdateCmd(), a.machinesAttachCmd(), a.machinesRunsCmd(),
		a.machinesStatusCmd(), a.machinesGenerationsCmd(), a.machinesRollbackCmd(), a.machinesExecCmd(),
	)
	return cmd
}

func (a *App) machinesListCmd() *cobra.Command {
	var all, bare bool
	cmd := &cobra.Command{
		Use:   "list [SELECTION...]",
		Short: "List machines",
		Long:  "List the selected machines, all if none is named, with class, target and tags. No machine is evaluated for it.",
		Example: `  fleet machines list
  fleet machines list 'tag:server & !cinnabar'
  fleet machines list --names tag:server | while read -r machine; do ping -c1 "$machine"; done`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			names, err := s.selection(args, all || len(args) == 0)
			if err != nil {
				return err
			}
			switch {
			case bare:
				return a.writeLines(names)
			case !a.config.JSON:
				return a.Streams.Table(machineTable(&s.fleet.Inventory, names))
			}
			machines := make([]flake.Machine, len(names))
			for i, name := range names {
				machines[i] = s.fleet.Machines[name]
			}
			return a.writeJSON(machines)
		},
	}
	allFlag(cmd, &all)
	namesFlag(cmd, &bare)
	return cmd
}

// machines are the selected machines as they were evaluated: those that do not
// evaluate too, with their errors.
func (s *session) machines(names []string, evaluated *flake.Evaluated) []deploy.Machine {
	var machines []deploy.Machine
	for _, name := range names {
		m := s.fleet.Machines[name]
		machine := deploy.Machine{Name: name, Class: m.Class, Address: s.deployOf(name, evaluated.Details[name]).TargetHost, Details: evaluated.Details[name]}
		if failed := evaluated.Failed[name]; failed != nil {
			machine.Err = failed
		}
		machines = append(machines, machine)
	}
	return machines
}

// reachable are the machines with the addresses that more has to be evaluated for.
func (s *session) reachable(ctx context.Context, names []string, evaluated *flake.Evaluated) ([]deploy.Machine, error) {
	machines, err := s.targets(ctx, names)
	if err != nil {
		return nil, err
	}
	for i, m := range s.machines(names, evaluated) {
		machines[i].Details = m.Details
		if m.Err != nil {
			machines[i].Err = m.Err
		}
	}
	return machines, nil
}

// deployer makes the deployer of this fleet; its events go to p.
func (s *session) deployer(p *progress, settings ...func(*deploy.Options)) *deploy.Deployer {
	o := s.deployOptions()
	o.OnEvent = p.deploy
	for _, set := range settings {
		set(&o)
	}
	return deploy.New(o)
}

func (s *session) deployOptions() deploy.Options {
	return deploy.Options{
		Nix:        s.nix,
		Directory:  s.fleet.Dir,
		Dial:       s.dial,
		MachineKey: s.machineKey,
		Secret:     s.secretOf,
		Unmade:     s.unmadeOf,
		Owner:      s.User + "@" + s.Hostname,
		Root:       s.Root,
		Terminal:   s.Streams.Lend,
		Now:        s.Now,
		Random:     rand.Reader,
		Settings:   deploy.Settings{TargetHost: s.redirected.host, SkipUnreachable: s.skipUnreachable},
	}
}

// dial reaches a machine as root, which whoever it lets in may have to become.
func (s *session) dial(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error) {
	conn, err := s.reach(ctx, machine, host)
	if err != nil {
		return nil, err
	}
	root, err := conn.AsRoot(ctx)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return root, nil
}

// reach connects to a machine, which may show the host key that the fleet made
// for it: after its first deploy it may have taken that one.
func (s *session) reach(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error) {
	s.hostKeysOnce.Do(func() {
		var err error
		if s.hostKeys, err = s.readHostKeys(); err != nil {
			s.Streams.Warn("only known_hosts tells the machines' host keys, those that the fleet made cannot be read: %v", err)
		}
	})
	var addresses []ssh.Target
	for _, text := range s.deployOf(machine, nil).Addresses {
		address, err := ssh.ParseTarget(text)
		if err != nil {
			return nil, fmt.Errorf("deploy.addresses: %w", err)
		}
		addresses = append(addresses, address)
	}
	return s.dialer.Dial(ctx, ssh.Config{
		Name: machine, Target: host, Addresses: addresses, Env: s.Environ,
		HostKeys: s.hostKeys[machine], HostKeysFrom: "the fleet's vars of " + machine,
	})
}

func (s *session) readHostKeys() (map[string][]string, error) {
	if s.fleet.Dir == "" {
		return nil, nil
	}
	layout, err := s.layout(nil, nil)
	if err != nil {
		return nil, err
	}
	defer layout.Close()
	return vars.HostKeys(layout)
}

func (s *session) machineKey(ctx context.Context, machine string) ([]byte, error) {
	layout, err := s.layout(nil, nil)
	if err != nil {
		return nil, err
	}
	defer layout.Close()
	ids, err := s.identitiesFor(ctx, layout)
	if err != nil {
		return nil, err
	}
	return secrets.MachinePrivateKey(ctx, layout, machine, ids)
}

// sayProblems prints the reason of each failure and the command to go on with.
// Of machines that only had to stop there is nothing to find in a log, and what
// several have in common is said once.
func (a *App) sayProblems(summary *deploy.Summary) {
	stopped := map[string][]string{}
	for _, r := range summary.Results {
		switch r.State {
		case deploy.Interrupted, deploy.NotStarted, deploy.HeldBack:
			stopped[r.Message] = append(stopped[r.Message], r.Machine)
		}
	}
	unbuilt := map[string]string{} // the machine for which it was told what does not build
	for _, r := range summary.Results {
		who := r.Machine
		switch r.State {
		case deploy.Done, deploy.Unchanged, deploy.Running:
			continue
		case deploy.Skipped:
			a.Streams.Say("%s: skipped, it is not reached: %s", r.Machine, r.Message)
			continue
		case deploy.Interrupted, deploy.NotStarted, deploy.HeldBack:
			names := stopped[r.Message]
			if names[0] != r.Machine {
				continue
			}
			who, r.Log = strings.Join(names, ", "), ""
		}
		cause, _, ofBuild := strings.Cut(r.Message, "; failed with it: ")
		if first, told := unbuilt[cause]; told {
			short, _, _ := strings.Cut(cause, "; it printed last: ")
			a.Streams.Problem(fmt.Errorf("%s: as %s: %s", who, first, short))
			continue
		}
		if ofBuild {
			unbuilt[cause] = who
		}
		a.Streams.Problem(fmt.Errorf("%s: %s", who, r.Message))
		if r.Next != "" {
			a.Streams.Say("  next: %s", r.Next)
		}
		if r.Log != "" && !strings.Contains(r.Message, "(log: ") { // which says as much
			a.Streams.Say("  log:  %s", r.Log)
		}
	}
}
