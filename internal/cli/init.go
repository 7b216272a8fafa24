package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/crs58/fleet/internal/flake/templates"
	"github.com/spf13/cobra"
)

func (a *App) initCmd() *cobra.Command {
	var name string
	var inputs []string
	cmd := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Start a fleet from a template",
		Long: `Start a fleet in FOLDER, by default the current one, from a template:

  minimal  one NixOS machine, with flake-parts and import-tree
  demo     eight machines that deploy into folders, with an offline nixpkgs

Existing files are never overwritten. The folder becomes a git repository if it
is not in one yet, because a flake sees only what git tracks.`,
		Example: `  fleet init my-fleet
  fleet init --template demo /tmp/demo
  fleet init --input nixpkgs=github:NixOS/nixpkgs/nixos-26.05 my-fleet`,
		GroupID: groupAround,
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			folder := a.Dir
			if len(args) > 0 {
				folder = args[0]
				if !filepath.IsAbs(folder) {
					folder = filepath.Join(a.Dir, folder)
				}
			}
			urls := map[string]string{}
			for _, input := range inputs {
				name, url, ok := strings.Cut(input, "=")
				if !ok || name == "" || url == "" {
					return usageError(cmd, fmt.Errorf("--input %s is not NAME=REFERENCE", input))
				}
				urls[name] = url
			}
			files, err := templates.Write(cmd.Context(), templates.Options{
				Name: name, Folder: folder, Inputs: urls, Path: a.Getenv("PATH"),
			})
			if err != nil {
				return err
			}
			if a.config.JSON {
				return a.writeJSON(map[string]any{"folder": folder, "template": name, "files": files})
			}
			a.Streams.Say("Wrote %s into %s. Next:", plural(len(files), "file"), folder)
			if folder != a.Dir {
				a.Streams.Say("  cd %s", folder)
			}
			a.Streams.Say("  fleet vars keys init      # your own age key, once\n  fleet inventory show\n  fleet vars generate --all")
			return nil
		},
	}
	cmd.Flags().StringVarP(&name, "template", "t", "minimal", "start with this `TEMPLATE`: minimal or demo")
	cmd.Flags().StringArrayVar(&inputs, "input", nil, "take a flake input from elsewhere: `NAME=REFERENCE`, may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("template", cobra.FixedCompletions(templates.Names(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
