// Package log stands for the updater's own, of a module that the Go module proxy does not have.
package log

import (
	"context"

	"github.com/sirupsen/logrus"
)

// Log returns the logger of all.
func Log() *logrus.Logger { return logrus.StandardLogger() }

// ContextWithLogger returns the context as it is.
func ContextWithLogger(ctx context.Context, _ *logrus.Entry) context.Context { return ctx }

// LoggerFromContext returns a logger of no context.
func LoggerFromContext(_ context.Context) *logrus.Entry { return logrus.NewEntry(logrus.StandardLogger()) }
