package cli

import (
	"cmp"
	"context"
	"strings"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/host"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"
)

func (a *App) varsCheckCmd() *cobra.Command {
	var all, remote, fromFiles bool
	cmd := &cobra.Command{
		Use:   "check [SELECTION...]",
		Short: "Find what is wrong with values and keys",
		Long: `Look at every value of the selected machines (all machines, if none is named):
that it is there, is up to date, is encrypted if and only if it is secret, can be
read by exactly those who should and opens with your keys, and that the two
halves of each machine's key belong together. When all machines are selected the
whole repository is looked at: values that nothing declares any more, keys that
cannot be used, files that an interrupted run has left, the secrets that no
generator makes, and the sops files that you keep beside the values: that each is encrypted to those whom the first rule
of .sops.yaml that fits it names, that none lies there in plain, and that the
keys that .sops.yaml names after machines are theirs.

With --remote the machines themselves are looked at too: that the age key on each
is the one of its key.json, so that it can decrypt its secrets, and that these
are there. A private key stays where it is. With --offline only the files are
looked at, in milliseconds: what is missing or outdated is not known then. It
changes nothing.`,
		Example: `  fleet vars check
  fleet vars check cinnabar
  fleet vars check --remote tag:server
  fleet vars check --json`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if fromFiles {
				return a.fromFiles(ctx, args, all, (*offline).check)
			}
			s, err := a.evaluate(ctx, args, all || len(args) == 0, false)
			if err != nil {
				return err
			}
			return s.checkVars(ctx, remote)
		},
	}
	allFlag(cmd, &all)
	cmd.Flags().BoolVar(&fromFiles, "offline", false, "look at the files alone, without evaluating")
	cmd.Flags().BoolVar(&remote, "remote", false, "look at the keys and secrets on the machines too")
	cmd.MarkFlagsMutuallyExclusive("remote", "offline")
	return cmd
}

// checked is the result of `vars check`.
type checked struct {
	*vars.Audit
	// Remote are the machines that --remote looked at.
	Remote []host.Remote `json:"remote,omitempty"`
	Errors []string      `json:"errors"`
}

func (s *evaluation) checkVars(ctx context.Context, remote bool) error {
	s.sayFailed(s.evaluated)
	values, done, err := s.values(ctx, s.evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	audit, err := values.Audit(ctx, len(s.names) == len(s.fleet.Inventory.Machines))
	if err != nil {
		return err
	}
	var remotes []host.Remote
	if remote {
		if remotes, err = s.checkRemote(ctx, values, audit); err != nil {
			return err
		}
	}
	if s.config.JSON {
		err = s.writeJSON(checked{audit, remotes, texts(s.evaluated, nil)})
	} else {
		err = s.showAudit(audit, len(s.evaluated.Details))
	}
	if err == nil && len(audit.Findings) > 0 {
		return exit(exitFailed)
	}
	return cmp.Or(err, s.exitFor(s.evaluated))
}

// checkRemote looks at the machines and adds what is wrong there to an audit.
func (s *evaluation) checkRemote(ctx context.Context, values *vars.Fleet, audit *vars.Audit) ([]host.Remote, error) {
	machines, err := s.reachable(ctx, s.evaluated.Names(), s.evaluated)
	if err != nil {
		return nil, err
	}
	p := s.progress()
	o := s.deployOptions()
	o.OnEvent = p.deploy
	remotes, findings, err := host.CheckRemote(ctx, o, values, machines)
	p.clear()
	audit.Findings = append(audit.Findings, findings...)
	for _, r := range remotes {
		switch r.Key {
		case host.KeyMatches:
			s.Streams.Say("%s: Keys match - decryption should work", r.Machine)
		case host.KeyNotNeeded:
			s.Streams.Say("%s: it has no secrets", r.Machine)
		}
	}
	return remotes, err
}

func (s *session) showAudit(audit *vars.Audit, machines int) error {
	for _, note := range audit.Notes {
		s.Streams.Say("note: %s", note)
	}
	if len(audit.Findings) == 0 {
		s.Streams.Say("The values and keys of %s are right.", plural(machines, "machine"))
		return nil
	}
	table := term.Table{Header: []string{"VALUE", "MACHINES", "PROBLEM", "MEND"}}
	for _, f := range audit.Findings {
		table.Add(cmp.Or(f.Value, "–"), cmp.Or(strings.Join(f.Machines, ", "), "–"), f.Problem, f.Mend)
	}
	if err := s.Streams.Table(&table); err != nil {
		return err
	}
	s.Streams.Say("%s.", plural(len(audit.Findings), "finding"))
	return nil
}

type fixOptions struct{ all, dryRun, commit bool }

func (a *App) varsFixCmd() *cobra.Command {
	var o fixOptions
	cmd := &cobra.Command{
		Use:   "fix [SELECTION...]",
		Short: "Give existing secrets to exactly those who should read them",
		Long: `Give the secrets and the machine keys of the selected machines (all machines, if
none is named) to exactly those who should read them. No value changes and no
file is removed. Who is missing is added. Who should not read a secret is taken
out, and the secret gets a new data key; but they know its value as it is, and
the history of the repository keeps it: fleet names the values to replace.
When all machines are selected the same is done with the secrets that no
generator makes, as their links say, and with the sops files that you keep beside
the values, as .sops.yaml says.

What it cannot mend is shown at the end, as by fleet vars check.`,
		Example: `  fleet vars fix --dry-run
  fleet vars fix cinnabar
  fleet vars fix --commit`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.evaluate(cmd.Context(), args, o.all || len(args) == 0, false)
			if err != nil {
				return err
			}
			return s.fixVars(cmd.Context(), o)
		},
	}
	allFlag(cmd, &o.all)
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would be done and do nothing")
	cmd.Flags().BoolVar(&o.commit, "commit", false, "make one git commit of what was written")
	return cmd
}

// fixed is the result of `vars fix`.
type fixed struct {
	*vars.Fixed
	// Left are the findings that remain; none of a dry run.
	Left   []vars.Finding `json:"left"`
	Errors []string       `json:"errors"`
}

func (s *evaluation) fixVars(ctx context.Context, o fixOptions) error {
	s.sayFailed(s.evaluated)
	values, done, err := s.values(ctx, s.evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	report, failed := values.Fix(ctx, vars.FixOptions{DryRun: o.dryRun, Commit: o.commit, Whole: len(s.names) == len(s.fleet.Inventory.Machines), Now: s.Now})
	if report == nil {
		return failed
	}
	left := &vars.Audit{Findings: []vars.Finding{}}
	if !o.dryRun {
		if left, err = values.Audit(ctx, len(s.names) == len(s.fleet.Inventory.Machines)); err != nil {
			return multierror.Append(err, failed).ErrorOrNil()
		}
	}
	if s.config.JSON {
		err = s.writeJSON(fixed{report, left.Findings, texts(s.evaluated, failed)})
	} else {
		err = s.showFixed(report, o.dryRun, left, s.evaluated)
	}
	switch {
	case err != nil || failed != nil:
		return cmp.Or(err, failed)
	case len(left.Findings) > 0:
		return exit(exitFailed)
	}
	return s.exitFor(s.evaluated)
}

func (s *session) showFixed(report *vars.Fixed, dryRun bool, left *vars.Audit, evaluated *flake.Evaluated) error {
	if report.Recovered != "" {
		s.Streams.Say("%s", report.Recovered)
	}
	if len(report.Mended) > 0 {
		table := term.Table{Header: []string{"VALUE", "ADDED", "REMOVED"}}
		for _, m := range report.Mended {
			table.Add(m.String(), cmp.Or(strings.Join(m.Add, ", "), "–"), cmp.Or(strings.Join(m.Remove, ", "), "–"))
		}
		if err := s.Streams.Table(&table); err != nil {
			return err
		}
	}
	done := "Encrypted anew"
	if dryRun {
		done = "Would encrypt anew"
	}
	s.Streams.Say("%s: %s.", done, plural(len(report.Mended), "file"))
	for _, r := range report.Rotate {
		s.Streams.Warn("%s is still known to %s, as the repository's history holds it: %s", r.Value, strings.Join(r.KnownBy, ", "), r.Mend)
	}
	if dryRun || len(left.Findings) == 0 {
		return nil
	}
	s.Streams.Say("This is left:")
	return s.showAudit(&vars.Audit{Findings: left.Findings}, len(evaluated.Details))
}
