mod bad_input;
mod readme;
mod segdata;
mod segeval;
mod segpredict;
mod segtrain;
mod support;
mod weights;
