defmodule Penstock.SoakTest do
  # What looks for faults finds them: the laws of test/soak, and its tools.
  use ExUnit.Case, async: true

  alias Penstock.Event
  alias Penstock.Soak.{Dice, Fault, Http2, Ledger, Notebook, Proxy, Trailers}
  alias Penstock.Soak.Damage.{Store, Wound}

  defp events(count), do: for(n <- 1..count, do: Event.new("Soaked", %{"n" => n}))

  defp read(event, revision), do: put_in(event.metadata[:stream_revision], revision)

  defp temporary_dir do
    path = Path.join(System.tmp_dir!(), "penstock-#{System.unique_integer([:positive])}-#{System.pid()}")
    File.mkdir_p!(path)
    on_exit(fn -> File.rm_rf!(path) end)
    path
  end

  describe "what was acknowledged" do
    setup do
      ledger = Ledger.new()
      events = events(3)
      Ledger.tried(ledger, "s", events)
      Ledger.acknowledged(ledger, "s", events, 2)
      %{ledger: ledger, found: for({event, n} <- Enum.with_index(events), do: {"s", n, event.id})}
    end

    test "holds when it is all there", %{ledger: ledger, found: found} do
      assert :ok = Ledger.check(found, ledger)
    end

    test "is missed at the end", %{ledger: ledger, found: found} do
      assert_raise Fault, ~r"s/2 was acknowledged", fn -> Ledger.check(Enum.take(found, 2), ledger) end
    end

    test "is missed in the middle", %{ledger: ledger, found: found} do
      assert_raise Fault, ~r"revision 2 where 1", fn -> Ledger.check(List.delete_at(found, 1), ledger) end
    end

    test "is noticed to be there twice", %{ledger: ledger, found: [{_, _, id} | _] = found} do
      assert_raise Fault, ~r"a second time", fn -> Ledger.check(found ++ [{"s", 3, id}], ledger) end
    end

    test "is noticed to be somewhere else", %{ledger: ledger, found: [{_, 0, a}, {_, 1, b}, last]} do
      assert_raise Fault, fn -> Ledger.check([{"s", 0, b}, {"s", 1, a}, last], ledger) end
    end

    test "is told from what nobody wrote", %{ledger: ledger, found: found} do
      assert_raise Fault, ~r"nobody wrote", fn -> Ledger.check(found ++ [{"s", 3, "another"}], ledger) end
    end
  end

  describe "what a reader has handled" do
    setup do
      events = for {event, n} <- Enum.with_index(events(4)), do: read(event, n)
      %{events: events, truth: Enum.map(events, &Notebook.mark/1)}
    end

    defp handled(events) do
      notebook = Notebook.new()
      for event <- events, do: Notebook.note(notebook, 1, event)
      notebook
    end

    test "holds when it is all, in order, and is where it goes on", %{events: events, truth: truth} do
      assert Notebook.position(Notebook.new()) == :start
      assert Notebook.position(handled(events)) == 3
      assert :ok = Notebook.check(handled(events), truth, "it")
    end

    test "is noticed to lack one, to have one twice or out of order", %{events: [a, b, c, d], truth: truth} do
      for wrong <- [[a, b, d], [a, b, c], [a, b, b, c, d], [a, c, b, d], [b, c, d]] do
        assert_raise Fault, fn -> Notebook.check(handled(wrong), truth, "it") end
      end
    end

    test "is noticed to be another event", %{events: [a, b, c, d], truth: truth} do
      changed = %{c | body: %{"n" => 0}}
      assert_raise Fault, fn -> Notebook.check(handled([a, b, changed, d]), truth, "it") end
    end
  end

  describe "chance" do
    test "comes from the seed and the name of who throws" do
      throws = fn seed, name ->
        Dice.take(seed, name)
        for _ <- 1..10, do: {Proxy.Plan.throw(), Dice.uuid()}
      end

      assert throws.(1, :a) == throws.(1, :a)
      assert throws.(1, :a) != throws.(2, :a)
      assert throws.(1, :a) != throws.(1, :b)
    end

    test "stays in its range" do
      Dice.take(1, :range)
      assert Enum.all?(1..1000, fn _ -> Dice.scale(3, 90) in 3..90 end)
    end
  end

  test "a proxy that is calm passes on all bytes both ways" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)
    proxy = start_supervised!(%{id: Proxy, start: {Proxy, :start_link, [port, 1]}})
    Proxy.calm(proxy)

    {:ok, client} = :gen_tcp.connect({127, 0, 0, 1}, Proxy.port(proxy), [:binary, active: false])
    {:ok, server} = :gen_tcp.accept(listener)
    bytes = :binary.copy("there", 20_000)

    for {from, to} <- [{client, server}, {server, client}] do
      sender = Task.async(fn -> :gen_tcp.send(from, bytes) end)
      assert {:ok, ^bytes} = :gen_tcp.recv(to, byte_size(bytes), 5_000)
      assert :ok = Task.await(sender)
    end

    :gen_tcp.close(client)
    assert {:error, :closed} = :gen_tcp.recv(server, 0, 5_000)
  end

  @tag timeout: 300_000
  test "every wound changes the folder, and says what it did" do
    {folder, older} = {temporary_dir(), temporary_dir()}

    look = fn ->
      for file <- Path.wildcard(folder <> "/**", match_dot: true),
          do: {file, File.dir?(file) || File.read!(file)}
    end

    for seed <- 1..200 do
      Dice.take(seed, :wound)
      File.rm_rf!(folder)
      File.mkdir_p!(folder)
      File.write!(Path.join(folder, "one"), Dice.bytes(100))
      File.write!(Path.join(folder, "other"), Dice.bytes(1_000) <> <<0::8_000>>)
      before = look.()
      {_strays, sentence} = Wound.throw(folder, [older])
      # One that meets a file with itself, or zeros with zeros, does nothing.
      assert look.() != before or sentence =~ ~r"swapped|zeros|emptied|own end"
      assert sentence =~ ~r"one|other|stray"
    end
  end

  test "wounds meet every kind of file, however many there are of one" do
    folder = temporary_dir()
    names = ["penstock", "synced"] ++ for(number <- 1..12, kind <- ["log", "idx"], do: "#{number}.#{kind}")

    sentences =
      for seed <- 1..200 do
        Dice.take(seed, :wound)
        File.rm_rf!(folder)
        File.mkdir_p!(folder)
        for name <- names, do: File.write!(Path.join(folder, name), Dice.bytes(10))
        folder |> Wound.throw([folder]) |> elem(1)
      end

    for kind <- ["penstock ", "synced ", ".log ", ".idx "],
        do: assert(Enum.count(sentences, &(&1 =~ kind)) > 20, kind)
  end

  test "a store that differs from what it held is told by where" do
    truth = %{all: [1, 2, 3], streams: %{"s" => [1, 2]}}
    assert Store.difference(truth, truth) == nil
    assert Store.difference(%{truth | all: {:error, "refused"}}, truth) == nil
    assert Store.difference(%{truth | all: [1, 2]}, truth) =~ "$all is 2 events where 3 were"
    assert Store.difference(%{truth | streams: %{"s" => [1]}}, truth) =~ "s is 1 events where 2 were"
    assert Store.tail_lost(%{truth | all: [1, 2]}, truth) == nil
    assert Store.tail_lost(%{truth | all: [1, 3]}, truth) =~ "$all is 2 events where 3 were"
  end

  test "a block of headers is read, also by Huffman's code" do
    # From RFC 7541, C.6.1: a literal, coded.
    value = Base.decode16!("AEC3771A4B", case: :upper)
    assert Trailers.decode(<<0, 4, "name", 1::1, 5::7, value::binary>>) == %{"name" => "private"}

    <<_length::24, 1, _flags, 1::32, block::binary>> =
      Http2.headers(1, [{"grpc-status", "0"}, {"long", String.duplicate("x", 300)}])

    assert Trailers.decode(block) == %{"grpc-status" => "0", "long" => String.duplicate("x", 300)}
  end
end
