package cli

import (
	"context"
	"fmt"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/spf13/cobra"
)

// buildPlace is where systems are built, as the flags say.
type buildPlace struct {
	buildHost     string
	buildOnTarget bool
}

func (b *buildPlace) flags(cmd *cobra.Command, a *App) {
	cmd.Flags().StringVar(&b.buildHost, "build-host", "", "build on this `HOST`: a machine, an address, or localhost; as each machine says, unless set")
	cmd.Flags().BoolVar(&b.buildOnTarget, "build-on-target", false, "have each machine build its own system")
	cmd.MarkFlagsMutuallyExclusive("build-host", "build-on-target")
	_ = cmd.RegisterFlagCompletionFunc("build-host", a.completeMachineNames)
}

// buildHost is the address of the host that is to build, which may be given as the
// name of a machine.
func (s *session) buildHost(ctx context.Context, host string) (string, error) {
	if _, known := s.fleet.Machines[host]; !known {
		if host == "" || host == deploy.Here {
			return host, nil
		}
		if _, err := deploy.ParseAddress(host, s.fleet.Dir); err != nil {
			return "", &codeError{exitUsage, fmt.Errorf("--build-host: %w", err)}
		}
		return s.fleet.Flavour.Login(host), nil
	}
	machines, err := s.targets(ctx, []string{host})
	if err != nil {
		return "", err
	}
	m := machines[0]
	if m.Err == nil {
		_, m.Err = deploy.ParseAddress(m.Address, s.fleet.Dir)
	}
	if m.Err != nil {
		return "", fmt.Errorf("--build-host %s: %w", host, m.Err)
	}
	return m.Address, nil
}
