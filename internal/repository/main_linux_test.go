package repository

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestMain lets this test binary stand for another process.
func TestMain(m *testing.M) {
	if order, ok := os.LookupEnv(crashVar); ok {
		step, root, _ := strings.Cut(order, ":")
		number, _ := strconv.Atoi(step)
		applyAndCrash(root, number)
		os.Exit(0)
	}
	os.Exit(m.Run())
}
