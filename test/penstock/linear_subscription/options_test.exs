defmodule Penstock.LinearSubscription.OptionsTest do
  use ExUnit.Case, async: true

  alias Penstock.{Error, Event, LinearSubscription}

  @good [
    connection: "esdb://127.0.0.1:1?tls=false",
    stream_name: "s",
    restore_stream_position!: {Kernel, :self, []}
  ]

  for {option, wrong, takes} <- [
        {:connection, 1, "a Penstock.EventStore"},
        {:stream_name, "", "a string that is not empty"},
        {:stream_name, :s, "a string that is not empty"},
        {:restore_stream_position!, :start, "{module, function, arguments} or a function without arguments"},
        {:json, :yes, ":decode, :raw"},
        {:buffer_size, 0, "an integer from 1 on"},
        {:buffer_size, :infinity, "an integer from 1 on"},
        {:buffer_bytes, -1, "an integer from 1 on"},
        {:max_message_size, 1023, "an integer from 1024 to 4294967295 (bytes)"},
        {:max_message_size, :infinity, "an integer from 1024 to 4294967295 (bytes)"},
        {:on_position_beyond_end, :ignore, ":wait, :stop"},
        {:buffer_keep, :all, ":first, :last"},
        {:dispatcher, {Penstock.DemandDispatcher, max: 1}, "unknown options [max: 1]"},
        {:dispatcher, {Penstock.DemandDispatcher, rate: {0, 1}}, "expected :rate to be"},
        {:dispatcher, GenStage.PartitionDispatcher, "expected :partitions to be"},
        {:dispatcher, {Penstock.PartitionDispatcher, partitions: 2, hash: :body},
         ":hash as :id, :stream_name, :type or a function"},
        {:dispatcher, {Penstock.PartitionDispatcher, partitions: 2, hash: &Kernel.max/2},
         "a function of one argument"},
        {:dispatcher, {Penstock.PartitionDispatcher, partitions: [:a], hash: :id},
         "expected :hash, for :partitions are not 0 to n - 1"},
        {:dispatcher, Penstock.LinearSubscription.OptionsTest, "a Penstock.Dispatcher of your own"},
        {:dispatcher, "demand", "Penstock.DemandDispatcher, Penstock.BroadcastDispatcher"},
        {:demand, :now, ":forward, :accumulate"},
        {:copy_bodies?, 1, "true or false"},
        {:timeout, -1, "milliseconds or :infinity"},
        {:hibernate_after, "1", "milliseconds or :infinity"},
        {:spawn_opt, :link, "a list"},
        {:debug, :trace, "a list"},
        {:read_opts, [:all], "a keyword list"}
      ],
      takes do
    test "#{inspect(option)}: #{inspect(wrong)} is refused by name, with what it takes" do
      wrong = unquote(Macro.escape(wrong))
      error = assert_raise ArgumentError, fn -> start(unquote(option), wrong) end
      assert error.message =~ inspect(unquote(option))
      assert error.message =~ unquote(takes)
      assert error.message =~ inspect(wrong)
    end
  end

  test "an unknown option is refused with those there are" do
    error = assert_raise ArgumentError, fn -> start(:streamname, "s") end
    assert error.message =~ "unknown option :streamname; it takes :connection, :stream_name"
  end

  test "an option given twice is refused" do
    assert_raise ArgumentError, ~r/:json is given more than once/, fn ->
      LinearSubscription.start_link(@good ++ [json: :raw, json: :decode])
    end
  end

  test "an unknown read option is refused by name" do
    assert_raise ArgumentError, ~r/option :read_opts: unknown option :max; it takes :max_count/, fn ->
      start(:read_opts, max: 1)
    end
  end

  for required <- [:connection, :stream_name, :restore_stream_position!] do
    test "#{inspect(required)} is required" do
      assert_raise ArgumentError, ~r/option #{inspect(unquote(required))} is required/, fn ->
        LinearSubscription.start_link(Keyword.delete(@good, unquote(required)))
      end
    end
  end

  test "options that are none are refused" do
    assert_raise ArgumentError, ~r/takes a keyword list of options, got: :ok/, fn ->
      LinearSubscription.start_link(:ok)
    end
  end

  for wrong <- [-1, "3", nil, 1.0, {:ok, 1}, 0x8000_0000_0000_0000] do
    @tag :capture_log
    test "a position that is none, #{inspect(wrong)}, ends the start" do
      Process.flag(:trap_exit, true)
      wrong = unquote(Macro.escape(wrong))

      assert {:error, {%ArgumentError{message: message}, _}} =
               start(:restore_stream_position!, fn -> wrong end)

      assert message =~ ":restore_stream_position!"
      assert message =~ "it returned: #{inspect(wrong)}"
    end
  end

  @read %{stream_name: "s", stream_revision: 3}

  for {metadata, parts} <- [
        {%{}, ["revision", "is nil (it was not read from any)"]},
        {%{content_type: "application/json", custom_metadata: ""}, ["is nil (it was not read from any)"]},
        {%{stream_name: "s", stream_revision: nil}, ["is nil"]},
        {%{stream_name: "s", stream_revision: -1}, ["is -1"]},
        {%{stream_name: "s", stream_revision: "5"}, [~s(is "5")]},
        {%{stream_name: "s", stream_revision: :oops}, ["is :oops"]},
        {%{stream_name: "s", stream_revision: :start}, ["is :start"]},
        {%{stream_name: "s", stream_revision: :end}, ["is :end"]},
        {%{stream_name: "s", stream_revision: 1.0}, ["is 1.0"]},
        {%{stream_name: "s", stream_revision: 0x8000_0000_0000_0000}, ["is 9223372036854775808"]},
        {%{stream_name: "s", stream_revision: 0x1_0000_0000_0000_0000}, ["is 18446744073709551616"]},
        {%{stream_name: "other", stream_revision: 3}, [~s(read from "other"), ~s(a subscription to "s")]}
      ] do
    @tag :capture_log
    test "an event that is no place in the stream, #{inspect(metadata)}, ends the start" do
      event = %Event{metadata: unquote(Macro.escape(metadata))}
      for part <- unquote(parts) ++ [inspect(event)], do: assert(refused(event) =~ part)
    end
  end

  @tag :capture_log
  test "an event that was never read ends the start" do
    assert refused(Event.new("T", 1)) =~ "it was not read from any"
  end

  @tag :capture_log
  test "for an event that was reached by a link the stream is the link's" do
    elsewhere = %{stream_name: "target", stream_revision: 90}
    of_stream = %Event{metadata: elsewhere, link: %Event{metadata: @read}}
    of_target = %Event{metadata: @read, link: %Event{metadata: elsewhere}}
    without = %Event{metadata: @read, link: %Event{}}
    assert {:ok, producer} = start(:restore_stream_position!, fn -> of_stream end)
    assert LinearSubscription.info(producer).revision == 3
    GenServer.stop(producer)
    assert refused(of_target) =~ ~s(read from "target")
    assert refused(without) =~ "is nil"
  end

  test "an event that does not say where it was read is taken at its revision" do
    assert {:ok, producer} =
             start(:restore_stream_position!, fn -> %Event{metadata: %{stream_revision: 5}} end)

    assert LinearSubscription.info(producer).revision == 5
    GenServer.stop(producer)
  end

  defp refused(event) do
    Process.flag(:trap_exit, true)

    assert {:error, {%ArgumentError{message: message}, _}} = start(:restore_stream_position!, fn -> event end)

    assert message =~ ":restore_stream_position! takes a function that returns :start, :end, a revision"
    message
  end

  @tag :capture_log
  test "a function that cannot restore ends the start with its own error" do
    Process.flag(:trap_exit, true)

    assert {:error, {%RuntimeError{message: "no table"}, _}} =
             start(:restore_stream_position!, fn -> raise "no table" end)
  end

  @tag :capture_log
  test "a connection that is not there ends the start and is named" do
    Process.flag(:trap_exit, true)

    assert {:error, {%Error{reason: :not_started, retry?: true, message: message}, _}} =
             start(:connection, Penstock.NoSuchStore)

    assert message =~ "the connection Penstock.NoSuchStore is not started"
  end

  @tag :capture_log
  test "a connection string that cannot be read ends the start" do
    Process.flag(:trap_exit, true)
    assert {:error, {%Error{reason: :invalid_connection_string}, _}} = start(:connection, "http://localhost")
  end

  defp start(option, value), do: LinearSubscription.start_link(Keyword.put(@good, option, value))
end
