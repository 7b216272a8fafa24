package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/spf13/cobra"
)

// What follows is output as scripts for clan read it.

// namesFlag is the flag of a list that prints nothing but names.
func namesFlag(cmd *cobra.Command, bare *bool) {
	cmd.Flags().BoolVar(bare, "names", false, "print only the names, one per line")
}

// writeLines prints lines as data. What a terminal would obey stays out of one.
func (a *App) writeLines(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	text := strings.Join(lines, "\n") + "\n"
	if a.Streams.OutTTY {
		lines = strings.Split(text, "\n")
		for i, line := range lines {
			lines[i] = term.Clean(line)
		}
		text = strings.Join(lines, "\n")
	}
	_, err := io.WriteString(a.Streams.Out, text)
	return err
}

// listPlain prints the values of one machine as `clan vars list` does, which
// sorts whole lines. A secret is not opened for it.
func (s *evaluation) listPlain(ctx context.Context) error {
	if len(s.names) != 1 {
		return &codeError{exitUsage, errors.New("--plain is for one machine")}
	}
	machine := s.names[0]
	if failed := s.evaluated.Failed[machine]; failed != nil {
		return failed
	}
	values, done, err := s.values(ctx, s.evaluated.Details)
	if err != nil {
		return err
	}
	defer done()
	rows, err := values.List(ctx)
	if err != nil {
		return err
	}
	var lines []string
	for _, row := range rows {
		text, err := plainValue(ctx, values, row)
		if err != nil {
			return err
		}
		lines = append(lines, row.Generator+"/"+row.File+": "+text)
	}
	slices.Sort(lines)
	return s.writeLines(lines)
}

func plainValue(ctx context.Context, values *vars.Fleet, row vars.Row) (string, error) {
	switch {
	case !row.Present:
		return "<not set>", nil
	case row.Secret:
		return "********", nil
	}
	value, err := values.Get(ctx, row.Machine, row.Generator+"/"+row.File)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(value.Data) {
		return "<binary blob>", nil
	}
	return string(value.Data), nil
}
