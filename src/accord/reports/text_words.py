"""What the page of a run of text says otherwise than that of a run of control, and what it alone says."""

from __future__ import annotations

Table = dict[str, tuple[str, str]]

# In place of the words of the same key.
INSTEAD: Table = {
    "steps": ("{n} responses", "{n} 条回复"),
    "reaches": ("the policy scores {mean}", "策略的回复平均得分 {mean}"),
    "share": (
        ": {share} of the way from the start model to what the same algorithm reaches on the gold scorer itself.",
        "：在起始模型与同一算法直接使用金标评分的水平之间，达到了 {share}。",
    ),
    "beside_true": (
        "; the same algorithm reaches {true} on the gold scorer itself.",
        "；同一算法直接使用金标评分达到 {true}。",
    ),
    "above_true": (
        "; the same algorithm on the gold scorer itself reaches {true}, which is less.",
        "；同一算法直接使用金标评分达到 {true}，低于该策略。",
    ),
    "true_fails": (
        "; on the gold scorer itself the same algorithm reaches {true}, no better than the start model ({random}).",
        "；同一算法直接使用金标评分只达到 {true}，并不优于起始模型（{random}）。",
    ),
    "unmeasured": (
        "There is no gold scorer, so how good the responses are was not measured; how often the reward foretold "
        "people's answers stands below.",
        "没有金标评分，因此未测量回复的好坏；奖励模型预测人们回答的正确率见下文。",
    ),
    "one_run": (
        "One run, seed {seed}. The interval covers the prompts of {episodes} evaluated responses, "
        "not the luck of training: other seeds may end elsewhere.",
        "单次运行，种子 {seed}。区间只反映 {episodes} 条评估回复所属提示的波动，"
        "不含训练本身的运气：换一个种子，结果可能不同。",
    ),
    "random_good": ("Better than the start model", "优于起始模型"),
    "random_good_why": ("The start model scores {other}.", "起始模型得分 {other}。"),
    "random_close": ("Not clearly better than the start model", "未明显优于起始模型"),
    "random_close_why": ("The intervals overlap: the start model scores {other}.", "区间重叠：起始模型得分 {other}。"),
    "random_bad": ("Worse than the start model", "不如起始模型"),
    "random_bad_why": ("The start model scores {other}.", "起始模型得分 {other}。"),
    "random_none": ("Start model not measured", "起始模型未测量"),
    "constant_close_why": (
        "The intervals overlap: a constant reward scores {other}.",
        "区间重叠：恒定奖励得分 {other}。",
    ),
    "true_good": ("Level with the gold scorer", "与金标评分持平"),
    "true_good_why": ("The same algorithm on the gold scorer reaches {other}.", "同一算法用金标评分达到 {other}。"),
    "true_above": ("Above the gold scorer's run", "高于金标评分的那次运行"),
    "true_above_why": (
        "The same algorithm on the gold scorer reaches {other} here, so that run is no ceiling.",
        "同一算法用金标评分在此只达到 {other}，因此它不是上限。",
    ),
    "true_close": ("Below the gold scorer", "低于金标评分"),
    "true_close_why": ("The same algorithm on the gold scorer reaches {other}.", "同一算法用金标评分达到 {other}。"),
    "true_none": ("Training on the gold scorer not measured", "用金标评分训练未测量"),
    "stat_steps": ("Responses", "回复数"),
    "s_return": ("Gold score", "金标得分"),
    "s_return_lead": (
        "What the gold scorer says of responses to the prompts of evaluation. Nothing that learns ever saw it.",
        "金标评分对评估提示的回复的评价；参与学习的部分从未见过它。",
    ),
    "baselines_sub": (
        "Mean gold score of a response, with 95% interval where measured",
        "每条回复的平均金标得分；有测量时附 95% 区间",
    ),
    "curve_sub": (
        "Mean gold score of the policy's responses after each round, with 95% band",
        "每轮之后策略回复的平均金标得分，带 95% 区间",
    ),
    "by_steps": ("by response", "按回复"),
    "reliability_sub": (
        "How often the first response won, by predicted probability, with 95% intervals. "
        "On the dashed line is perfect; larger dots hold more answers.",
        "按预测概率分组，第一条回复获胜的频率，带 95% 区间。落在虚线上为完美；点越大，回答越多。",
    ),
    "scatter": ("Reward against gold score", "奖励与金标得分"),
    "scatter_sub": (
        "Each dot is a response: predicted reward against gold score",
        "每个点是一条回复：预测奖励与金标得分",
    ),
    "examples_sub": (
        "Two responses to one prompt, as they were compared. p is the model's probability that the first is preferred.",
        "同一提示的两条回复，以及对它们的比较。p 为模型认为第一条更受偏好的概率。",
    ),
    "s_policy_lead": (
        "What each improvement did to the policy, round by round.",
        "每一轮改进对策略做了什么。",
    ),
    "kl": ("KL (nats a response)", "KL（nat / 回复）"),
    "s_cost": ("Where time and responses went", "时间与回复的去向"),
    "s_cost_lead": ("Every response counts, evaluation too.", "每条回复都计入，包括评估。"),
    "env_steps": ("Responses by purpose", "各用途的回复"),
    "collect": ("collect responses", "收集回复"),
    "train_return": ("Gold score", "金标得分"),
    "random": ("start model", "起始模型"),
    "true": ("gold scorer as reward", "金标评分作奖励"),
    "x_return": ("gold score of a response", "每条回复的金标得分"),
    "x_steps": ("responses", "回复数"),
    "x_truth": ("gold score", "金标得分"),
    "y_reward_short": ("predicted reward", "预测奖励"),
    "alt_scatter": ("{title}: {n} responses, Spearman correlation {rho}.", "{title}：{n} 条回复，斯皮尔曼相关 {rho}。"),
    "first": ("first", "第一条"),
    "second": ("second", "第二条"),
}

# On the page of a run of text alone.
ALONE: Table = {
    "stat_win": ("Win rate against the start", "对起始模型的胜率"),
    "stat_kl": ("KL (nats a response)", "KL（nat / 回复）"),
    "won_good": ("Beats the start model", "胜过起始模型"),
    "won_close": ("No clear win over the start model", "未明显胜过起始模型"),
    "won_bad": ("Loses to the start model", "输给起始模型"),
    "won_why": (
        "Its response has the higher gold score in {share} of pairs to one prompt, interval {low} to {high}.",
        "在同一提示的成对回复中，{share} 得分更高，区间 {low} 至 {high}。",
    ),
    "preferred": (
        "people prefer the policy's response to the start model's on {share} of {n} prompts",
        "在 {n} 个提示中的 {share} 上，人们更喜欢策略的回复，而不是起始模型的",
    ),
    "won_people_why": (
        "People preferred its response to {share} of {n} prompts, interval {low} to {high}; a tie counts half.",
        "在 {n} 个提示中的 {share} 上，人们更喜欢它的回复，区间 {low} 至 {high}；平局计一半。",
    ),
    "stopped": ("Ended early", "提前结束"),
    "against_kl": ("Reward and gold score against KL", "奖励与金标得分随 KL 的变化"),
    "against_kl_sub": (
        "How far the policy is above the start model, in deviations of the start model's responses. Where the reward "
        "goes on rising and the gold score does not, over-optimisation has begun.",
        "策略高于起始模型多少，以起始模型回复的标准差计。奖励继续上升而金标得分不再上升之处，过度优化已经开始。",
    ),
    "x_kl": ("KL from the start model, nats a response", "与起始模型的 KL，nat / 回复"),
    "y_gain": ("deviations above the start", "高于起始的标准差"),
    "line_reward": ("reward", "奖励"),
    "line_gold": ("gold", "金标"),
    "s_texts": ("Side by side", "并排对照"),
    "s_texts_lead": (
        "One response of the start model and one of the final policy to each prompt: the first that was written, "
        "not the best.",
        "每个提示各一条起始模型与最终策略的回复：取最先写出的，并非最好的。",
    ),
    "heldout_prompts": (
        "{n} of the prompts were kept apart from learning; evaluation is on those.",
        "{n} 个提示未参与学习，评估只用这些提示。",
    ),
    "no_heldout": (
        "There are too few prompts to keep any apart: evaluation is on those that were learned from.",
        "提示太少，无法留出：评估使用参与学习的提示。",
    ),
    "policy_says": ("Policy", "策略"),
    "start_says": ("Start model", "起始模型"),
    "gold_of": ("gold {x}", "金标 {x}"),
    "tokens_of": ("{policy} tokens a response, at the start {start}", "每条回复 {policy} 个词元，起始时 {start}"),
}
