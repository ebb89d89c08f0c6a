//go:build otel

package serve

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracer sends spans of requests to a collector, by OTLP over HTTP. A nil one sends nothing. Spans hold what the log
// holds: never what was said.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	parents  propagation.TraceContext
}

// NewTracer returns a tracer for a collector's address, such as http://localhost:4318.
func NewTracer(ctx context.Context, endpoint string) (*Tracer, error) {
	if !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") {
		return nil, fmt.Errorf("bad address of a collector: %q: give one such as http://localhost:4318", endpoint)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(endpoint, "/")+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("cannot trace: %s: %w: check the collector's address", endpoint, err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "baleen"))))
	return &Tracer{provider: provider, tracer: provider.Tracer("baleen/serve")}, nil
}

// Close sends what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// start begins the span of a request, within the client's if it has one.
func (t *Tracer) start(r *http.Request) (context.Context, span) {
	if t == nil {
		return r.Context(), span{}
	}
	ctx := t.parents.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, s := t.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
	return ctx, span{s}
}

type span struct{ trace.Span }

// end ends the span of a request, by the name of its route.
func (s span) end(route string, v *visit) {
	if s.Span == nil {
		return
	}
	s.SetName(route)
	s.SetAttributes(attribute.String("request.id", v.id), attribute.Int("http.response.status_code", v.status),
		attribute.Int64("http.request.body.size", v.body), attribute.Int64("http.response.body.size", v.sent))
	if v.status >= 500 {
		s.SetStatus(codes.Error, http.StatusText(v.status))
	}
	s.End()
}
