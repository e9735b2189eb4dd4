defmodule Penstock.ConsumerSupervisor.Report do
  @moduledoc false
  # What goes wrong with a child, reported in the form that OTP's own supervisors use.

  @spec error(atom, reason :: term, child :: term, arguments :: term, Penstock.ConsumerSupervisor.t()) :: :ok
  def error(context, reason, child, arguments, %{name: name, template: template}) do
    {module, function, _arguments} = template.start

    report = [
      supervisor: name,
      errorContext: context,
      reason: reason,
      offender: [
        pid: child,
        id: template.id,
        mfargs: {module, function, arguments},
        restart_type: template.restart,
        shutdown: template.shutdown,
        child_type: template.type
      ]
    ]

    :logger.log(:error, %{label: {:supervisor, context}, report: report}, %{
      domain: [:otp, :sasl],
      report_cb: &:logger.format_otp_report/1,
      error_logger: %{tag: :error_report, type: :supervisor_report}
    })
  end
end
