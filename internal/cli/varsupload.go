package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
)

type uploadOptions struct {
	all, dryRun bool
	directory   string
}

func (a *App) varsUploadCmd() *cobra.Command {
	var o uploadOptions
	cmd := &cobra.Command{
		Use:   "upload [SELECTION...]",
		Short: "Put their keys onto machines, without a deploy",
		Long: `Put the age key of each selected machine onto it, without a deploy, and the
secrets that its activation needs in plain. Only what differs is replaced. The
machine decrypts its secrets with the key at its next activation or boot.

With --directory the files of one machine go into a folder instead, for an
installer: what belongs into secretUploadDirectory, usually /var/lib/sops-nix.
Only you can enter it; remove it when it has served.`,
		Example: `  fleet vars upload cinnabar
  fleet vars upload --all --dry-run
  fleet vars upload argentum --directory /dev/shm/argentum`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.evaluate(cmd.Context(), args, o.all, false)
			if err != nil {
				return err
			}
			if o.directory != "" && len(s.names) != 1 {
				return &codeError{exitUsage, fmt.Errorf("--directory is for one machine, and %d are selected", len(s.names))}
			}
			return s.upload(cmd.Context(), o)
		},
	}
	allFlag(cmd, &o.all)
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would be done and do nothing")
	cmd.Flags().StringVar(&o.directory, "directory", "", "`FOLDER` that the files go into instead")
	_ = cmd.MarkFlagDirname("directory")
	return cmd
}

// uploaded is the result of `vars upload`.
type uploaded struct {
	Machines []deploy.Upload `json:"machines"`
}

func (s *evaluation) upload(ctx context.Context, o uploadOptions) error {
	values, done, err := s.values(ctx, s.evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	options := s.deployOptions()
	options.Secret = func(ctx context.Context, machine, name string) ([]byte, error) {
		value, err := values.Get(ctx, machine, name)
		if err != nil {
			return nil, err
		}
		return value.Data, nil
	}
	machines := s.machines(s.names, s.evaluated)
	if o.directory == "" {
		if machines, err = s.reachable(ctx, s.names, s.evaluated); err != nil {
			return err
		}
	}
	p := s.progress()
	options.OnEvent = p.deploy
	d := deploy.New(options)
	var uploads []deploy.Upload
	if o.directory == "" {
		uploads = d.Upload(ctx, machines, o.dryRun)
	} else {
		folder := s.path(o.directory)
		if err := values.CheckOutside(folder); err != nil {
			return err
		}
		uploads = []deploy.Upload{d.UploadInto(ctx, machines[0], folder, o.dryRun)}
	}
	err = d.Close()
	p.clear()
	if s.config.JSON {
		err = errors.Join(err, s.writeJSON(uploaded{uploads}))
	} else {
		err = errors.Join(err, s.showUploads(uploads, o))
	}
	return cmp.Or(err, exit(uploadExit(uploads)))
}

func (s *evaluation) showUploads(uploads []deploy.Upload, o uploadOptions) error {
	does := map[deploy.KeyAction]string{deploy.KeyUnchanged: "unchanged", deploy.KeyInstall: "installed", deploy.KeyReplace: "replaced"}
	if o.dryRun {
		does[deploy.KeyInstall], does[deploy.KeyReplace] = "would install", "would replace"
	}
	table := term.Table{Header: []string{"MACHINE", "TARGET", "FILE", "STATE"}}
	changed, plain := false, false
	for _, u := range uploads {
		for _, f := range u.Files {
			table.Add(u.Machine, u.Target, f.Path, does[f.Action])
		}
		if u.Note != "" {
			s.Streams.Say("%s: it %s", u.Machine, u.Note)
		}
		changed = changed || u.Changed()
		plain = plain || len(u.Files) > 0
	}
	if plain {
		if err := s.Streams.Table(&table); err != nil {
			return err
		}
	}
	for _, u := range uploads {
		if u.Err != nil {
			s.Streams.Problem(fmt.Errorf("%s: %s", u.Machine, u.Error))
			if u.Next != "" {
				s.Streams.Say("  next: %s", u.Next)
			}
		}
	}
	switch {
	case o.dryRun || !plain:
	case o.directory != "":
		s.Streams.Warn("%s holds secrets that nothing encrypts: remove it when it has served", s.path(o.directory))
	case changed:
		s.Streams.Say("Secrets are decrypted with a new key at the next activation or boot.")
	}
	return nil
}

func uploadExit(uploads []deploy.Upload) int {
	failed := 0
	for _, u := range uploads {
		if u.Err != nil {
			failed++
		}
	}
	switch failed {
	case 0:
		return exitDone
	case len(uploads):
		return exitFailed
	}
	return exitSomeFailed
}
