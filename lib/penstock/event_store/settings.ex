defmodule Penstock.EventStore.Settings do
  @moduledoc false
  # The options of a connection and of its calls.

  @revision "an integer from 0 on"

  def start do
    [
      connection_string: [
        type: :non_empty_string,
        required: true,
        doc: "Where the server is: `esdb://host:port?tls=false`."
      ],
      name: [type: :any, default: nil, doc: "A name of the process, of any kind that `GenServer` takes."]
    ]
  end

  def append do
    [
      expect: [
        type: {:check, &__MODULE__.expectation?/1, ":any, :no_stream, :stream_exists or #{@revision}"},
        default: :any,
        doc: "What the stream has to be: anything, missing, there, or with this revision as its last."
      ]
    ]
  end

  def read do
    [
      from: [
        type: {:check, &__MODULE__.place?/1, ":start, :end or #{@revision}"},
        default: :start,
        doc: "The first event, inclusive."
      ],
      direction: [type: {:in, [:forwards, :backwards]}, default: :forwards, doc: "Which way to read."],
      max_count: [type: :pos_integer, default: 1000, doc: "How many events at most."],
      resolve_links?: [
        type: :boolean,
        default: true,
        doc: "Whether links are read as the events they lead to."
      ],
      json: [type: {:in, [:decode, :raw]}, default: :decode, doc: "Whether JSON bodies are decoded to terms."]
    ]
  end

  def native_read(options) do
    {options.from, options.direction, options.max_count, options.resolve_links?, options.json == :decode}
  end

  def expectation?(value), do: value in [:any, :no_stream, :stream_exists] or revision?(value)
  def place?(value), do: value in [:start, :end] or revision?(value)

  defp revision?(value), do: is_integer(value) and value in 0..0x7FFF_FFFF_FFFF_FFFF
end
