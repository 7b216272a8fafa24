package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *App) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version of fleet, of Go and the platform. It reads no settings of a fleet and starts no other program.",
		Example: "  fleet version\n  fleet version --json",
		GroupID: groupAround,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{a.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if a.config.JSON {
				return a.writeJSON(v)
			}
			_, err := fmt.Fprintf(a.Streams.Out, "fleet %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			return err
		},
	}
}
