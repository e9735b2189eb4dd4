defmodule Penstock.Error do
  # Each with what happened, what `details` holds, and whether to try again. The Rust core has the same list
  # (`native/wire/src/error/reason.rs`); a test compares them.
  @reasons [
    access_denied: {"the user may not do this", "", "no"},
    address_in_use: {"another program listens on the port", "`:port`", "no"},
    cancelled: {"the call was ended by the server", "", "yes"},
    certificate: {"the server's certificate is not accepted, or the client's is not", "", "no"},
    corrupted_data: {"the data directory holds what no server wrote", "`:data_dir`", "no"},
    data_dir_in_use: {"another server has the data directory open", "`:data_dir`", "no"},
    data_dir_unusable: {"the data directory cannot be created, read or written", "`:data_dir`", "no"},
    deadline_exceeded: {"no answer within the deadline", "", "yes"},
    internal: {"a fault of Penstock's own; please report it", "", "no"},
    invalid_argument: {"an argument that can never be taken", "`:option`", "no"},
    invalid_connection_string: {"the connection string cannot be read, or a file that it names", "", "no"},
    maximum_append_size_exceeded: {"an append is larger than the server takes", "`:maximum` (bytes)", "no"},
    maximum_subscribers_reached: {"a group has all the consumers that it may have", "", "no"},
    message_too_large:
      {"an event is over the reader's `max_message_size`",
       "`:size`, `:maximum` (bytes), `:after_revision` or `:before_revision`", "no"},
    missing_required_metadata: {"an event without a type or content type", "", "no"},
    not_leader: {"the node is not its cluster's leader", "`:host`, `:port`", "yes"},
    not_started:
      {"there is no process of this name, perhaps because its supervisor is starting it again", "", "yes"},
    persistent_subscription_dropped: {"the server let go of a group's consumers", "", "yes"},
    persistent_subscription_exists: {"there is such a group already", "", "no"},
    persistent_subscription_failed: {"the server refused to make, change or use a group", "", "no"},
    persistent_subscription_not_found: {"there is no such group", "", "no"},
    position_beyond_end:
      {"a subscription's stream ends before its position", "`:stream`, `:position`, `:last_revision`", "no"},
    protocol:
      {"the peer does not speak gRPC, or sent what cannot be decoded",
       "`:revision` or `:after_revision`, of an event", "no"},
    server: {"any other error of the server", "`:code`", "when it was busy"},
    stream_deleted: {"the stream was deleted for ever (tombstoned)", "`:stream`", "no"},
    stream_not_found: {"the stream does not exist", "`:stream`", "yes"},
    unauthenticated: {"the credentials are wrong", "", "no"},
    unavailable: {"the server cannot be reached, or went away", "", "yes"},
    unimplemented: {"the server does not know the method", "", "no"},
    unsupported: {"Penstock does not do this yet", "", "no"},
    wrong_expected_version:
      {"the stream is not what the append expected", "`:stream`, `:expected`, `:actual`", "no"}
  ]

  @rows Enum.map_join(@reasons, "\n", fn {reason, {what, details, retry}} ->
          "| `#{inspect(reason)}` | #{what} | #{details} | #{retry} |"
        end)

  @moduledoc """
  Why something could not be done.

  `reason` is one of a closed list, `message` names the thing, what it got and what it takes, `details` holds what
  belongs to the reason, and `retry?` says whether the same call can succeed later without a change.

  | reason | what happened | `details` | retry? |
  |---|---|---|---|
  #{@rows}

  An append whose answer was lost has `:may_have_been_written` (true) in its `details` as well, whatever the reason. Append
  the same events, with the same ids and the same `:expect`, again: what was written is not written twice.

  `:after_revision` is the revision of the event before the one that is meant, nil when that is the first one.
  """

  @type reason :: unquote(@reasons |> Keyword.keys() |> Enum.reverse() |> Enum.reduce(&{:|, [], [&1, &2]}))

  @type t :: %__MODULE__{reason: reason, message: String.t(), details: map, retry?: boolean}

  defexception [:reason, :message, details: %{}, retry?: false]

  @doc "All reasons that there are."
  @spec reasons() :: [reason]
  def reasons, do: unquote(Keyword.keys(@reasons))

  @doc false
  # What the Rust core answers in place of an error.
  @spec from_native({reason, String.t(), boolean, map}) :: t
  def from_native({reason, message, retry?, details}) do
    details = Map.new(details, fn {key, detail} -> {key, made(detail)} end)
    %__MODULE__{reason: reason, message: message, retry?: retry?, details: details}
  end

  # Places in the log.
  defp made({commit, prepare}), do: Penstock.Position.from_native({commit, prepare})
  defp made(detail), do: detail
end
