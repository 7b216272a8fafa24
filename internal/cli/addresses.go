package cli

import (
	"fmt"
	"strings"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/spf13/cobra"
)

// choice says which machines a command is for, and where one of them is.
type choice struct {
	args []string
	all  bool
	// targetHost is where the machine is reached for this once; empty for where
	// the flake says.
	targetHost string
	// skipUnreachable says that a machine at which nobody answers is no failure.
	skipUnreachable bool
}

// flags declares those of a choice.
func (c *choice) flags(cmd *cobra.Command) {
	allFlag(cmd, &c.all)
	c.targetHostFlag(cmd)
	cmd.Flags().BoolVar(&c.skipUnreachable, "skip-unreachable", false, "skip a machine at which nobody answers, such as a laptop that is away: that is no failure")
}

// allFlag declares --all, also for a command that is for all machines anyway when
// none is named.
func allFlag(cmd *cobra.Command, all *bool) {
	cmd.Flags().BoolVar(all, "all", false, "all machines")
}

func (c *choice) targetHostFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.targetHost, "target-host", "", "reach the one machine at this `ADDRESS` instead of its own: ssh://[USER@]HOST, local or root:PATH")
}

// of is the choice with the arguments of a command.
func (c choice) of(args []string) choice {
	c.args = args
	return c
}

// choose resolves a choice to the names of machines.
func (s *session) choose(c choice) ([]string, error) {
	s.skipUnreachable = c.skipUnreachable
	names, err := s.selection(c.args, c.all)
	if err != nil || c.targetHost == "" {
		return names, err
	}
	if len(names) != 1 {
		return nil, &codeError{exitUsage, fmt.Errorf("--target-host %s is where one machine is, and %d are selected", c.targetHost, len(names))}
	}
	host := c.targetHost
	if path, isRoot := strings.CutPrefix(host, "root:"); isRoot && path != "" {
		host = "root:" + s.path(path) // it was written here, not in the flake
	}
	if _, err := deploy.ParseAddress(host, s.Dir); err != nil {
		return nil, &codeError{exitUsage, fmt.Errorf("--target-host: %w", err)}
	}
	s.redirect(names[0], s.fleet.Flavour.Login(host))
	return names, nil
}

// redirect has a machine reached at another address than its own.
func (s *session) redirect(machine, host string) {
	s.redirected.machine, s.redirected.host = machine, host
}

// deployOf is where a machine is reached and built. Without details it is what is
// known so far: what the inventory says, or what an earlier call with them gave.
func (s *session) deployOf(name string, details *flake.Details) flake.Deploy {
	s.deployMu.Lock()
	defer s.deployMu.Unlock()
	d, known := s.deploys[name]
	if !known || details != nil {
		d = s.fleet.DeployOf(name, details, s.publicValue)
		if s.deploys == nil {
			s.deploys = map[string]flake.Deploy{}
		}
		s.deploys[name] = d
	}
	if name == s.redirected.machine {
		d.TargetHost, d.Addresses = s.redirected.host, nil
	}
	return d
}

// publicValue reads a public value from the repository; it is empty where there
// is none.
func (s *session) publicValue(v flake.ValueRef) string {
	layout, err := s.layout(nil, nil)
	if err != nil {
		return ""
	}
	defer layout.Close()
	for _, machine := range []string{v.Machine, ""} { // or it is shared
		if data, err := layout.Read(secrets.Ref{Machine: machine, Generator: v.Generator, File: v.File}); err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	return ""
}
